"""Similarity as the share of random pairs of cases that are less similar.

A cosine has no scale of its own: a cosine of 0.9 may mean little with one model and nearly the
same heart with another. Users therefore see the share of random pairs with a lower cosine. Below
`past_cases.LEAST` a case is not called similar.
"""

from bisect import bisect_left
from collections.abc import Sequence

FEWEST = 100  #: random pairs; with fewer, a share is not meaningful


def likeness(cosine: float, typical: Sequence[float]) -> float | None:
    """Return the share of random pairs with a lower cosine; None with too few pairs.

    `typical` is the cosines of random pairs, ascending.
    """
    if len(typical) < FEWEST:
        return None
    return bisect_left(typical, cosine) / len(typical)
