"""The usual range of similarity: cosines of random pairs of cases of different patients.

The same library gives the same cosines in every case store and in every process, whenever it was
started: the UID of a report depends on them. The pairs are drawn again when the library has grown
by a tenth, counted from its first case and not from the last draw.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from triage.cases.vectors import Halves

PAIRS = 4096  #: drawn
GROWN_PARTS = 10  #: growth of the library, as a part of it, after which pairs are drawn again

#: Patient and vector (D,) by row, without the rows that hold no case.
Known = Mapping[int, tuple[str, Halves]]


class TypicalSimilarity:
    """Caches the cosines of random pairs until the library has grown."""

    def __init__(self) -> None:
        self._cosines: Sequence[float] = ()
        self._rows = 0

    def cosines(self, rows: int, known: Callable[[Sequence[int]], Known]) -> Sequence[float]:
        """Return the cosines, ascending; `known` reads cases among the first `rows` rows."""
        drawn_from = round_down(rows)
        if drawn_from != self._rows:
            self._cosines, self._rows = _draw_cosines(drawn_from, known), drawn_from
        return self._cosines


def round_down(rows: int) -> int:
    """Return the largest number up to `rows` of the series 0, 1, 2 ... 19, 20, 22, 24 ...

    Each number is at most a tenth, and at least one, above the number before it.
    """
    reached = 0
    while (following := reached + max(1, reached // GROWN_PARTS)) <= rows:
        reached = following
    return reached


def _draw_cosines(rows: int, known: Callable[[Sequence[int]], Known]) -> Sequence[float]:
    places = np.random.default_rng(0).integers(rows, size=(PAIRS, 2))
    cases = known(np.unique(places).tolist())
    pairs = [
        (cases[one], cases[other])
        for one, other in places.tolist()
        if one in cases and other in cases and cases[one][0] != cases[other][0]
    ]
    if not pairs:
        return ()
    ones = np.stack([one for (_, one), _ in pairs]).astype(np.float32)  # (pairs, D)
    others = np.stack([other for _, (_, other) in pairs])
    return [*map(float, np.sort(np.sum(ones * others, axis=1)))]
