"""The usual range of similarity depends on the library, and not on when a process was started."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from triage.cases.typical_similarity import GROWN_PARTS, Known, TypicalSimilarity, round_down

VECTORS = np.random.default_rng(1).standard_normal((400, 8)).astype(np.float16)


def known(rows: Sequence[int]) -> Known:
    return {row: (str(row), VECTORS[row]) for row in rows}


def test_a_process_that_grew_with_the_library_agrees_with_one_that_starts_now() -> None:
    growing = TypicalSimilarity()
    for rows in range(len(VECTORS)):
        assert growing.cosines(rows, known) == TypicalSimilarity().cosines(rows, known)


def test_pairs_are_drawn_again_after_a_tenth() -> None:
    steps = sorted({round_down(rows) for rows in range(5000)})
    assert steps[:3] == [0, 1, 2]
    for before, after in pairwise(steps):
        assert after - before <= max(1, before // GROWN_PARTS)
    assert len(steps) < 100
    assert all(round_down(rows) <= rows for rows in range(5000))
