"""What similarity is usual: the cosines of random pairs of cases of different patients.

Rule: the same library gives the same cosines, however it is kept; they are drawn anew when it has
grown by a tenth.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from triage.cases.vectors import Halves

PAIRS = 4096  #: drawn
GROWN = 1.1  #: the library, before they are drawn anew

#: Patient and vector (D,) of those of some rows that are cases.
Known = Mapping[int, tuple[str, Halves]]


class TypicalSimilarity:
    """The cosines of random pairs, kept until the library has grown."""

    def __init__(self) -> None:
        self._cosines: Sequence[float] = ()
        self._rows = 0

    def cosines(self, rows: int, known: Callable[[Sequence[int]], Known]) -> Sequence[float]:
        """Return the cosines, rising, of a library whose first `rows` rows are `known`."""
        if not self._rows <= rows <= GROWN * self._rows:
            self._cosines, self._rows = _drawn(rows, known), rows
        return self._cosines


def _drawn(rows: int, known: Callable[[Sequence[int]], Known]) -> Sequence[float]:
    pairs = np.random.default_rng(0).integers(rows, size=(PAIRS, 2))
    there = known(np.unique(pairs).tolist())
    strangers = [
        (there[one], there[other])
        for one, other in pairs.tolist()
        if one in there and other in there and there[one][0] != there[other][0]
    ]
    if not strangers:
        return ()
    ones = np.stack([one for (_, one), _ in strangers]).astype(np.float32)
    others = np.stack([other for _, (_, other) in strangers])
    return [*map(float, np.sort(np.sum(ones * others, axis=1)))]
