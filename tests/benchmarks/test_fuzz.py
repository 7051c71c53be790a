"""Ten minutes of bent conversations with a receiver, half of them past pynetdicom's loops.

Rule: what must hold is said in tests/acceptance/fuzzing.py; here it is asked for longer.
"""

from pathlib import Path

import pytest

from tests.acceptance.floods import flooded
from tests.acceptance.fuzzing import BOUNDS, Fuzzing
from tests.builders.code_streams import frames, lossless_jpeg
from tests.unit.imaging.decoder_fuzzing import MOST_GROWTH_BYTES, fuzz

SECONDS = 330  #: each


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("fast", [pytest.param(True, id="fast"), pytest.param(False, id="plain")])
def test_ten_minutes_of_bent_conversations(tmp_path: Path, *, fast: bool) -> None:
    with flooded(tmp_path, fast=fast, **BOUNDS) as receiver:
        Fuzzing(receiver).go_on_for(SECONDS)


@pytest.mark.timeout(1800)
def test_ten_minutes_of_mutated_frames() -> None:
    report = fuzz({**frames(), "JPEG lossless": lossless_jpeg()}, 600)
    print(f"\n{report}")
    assert report.growth_bytes < MOST_GROWTH_BYTES
    assert report.children <= 1 + report.failed
