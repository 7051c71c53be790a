"""How much a similarity means: where it stands among those of random pairs.

A cosine has no scale of its own: of one model .9 is next to nothing, of another nearly the same
heart. Rule: people are shown the share of random pairs that are less alike, and below a stated
share a case is not called similar at all.
"""

from bisect import bisect_left
from collections.abc import Sequence

FEWEST = 100  #: random pairs; with fewer, a share says nothing


def likeness(cosine: float, typical: Sequence[float]) -> float | None:
    """Return the share of random pairs that are less alike, None where too few are known.

    `typical` are the cosines of random pairs, rising.
    """
    if len(typical) < FEWEST:
        return None
    return bisect_left(typical, cosine) / len(typical)
