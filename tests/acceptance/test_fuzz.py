"""A receiver that is talked nonsense to neither ends, nor hangs, nor keeps anything by halves.

tests/benchmarks/test_fuzz.py is the same for ten minutes.
"""

from pathlib import Path

import pytest

from tests.acceptance.floods import flooded
from tests.acceptance.fuzzing import BOUNDS, Fuzzing

SECONDS = 10  #: at least, because a round takes seconds


@pytest.mark.parametrize("fast", [pytest.param(True, id="fast"), pytest.param(False, id="plain")])
def test_malformed_conversations_leave_no_resources_and_no_files(
    tmp_path: Path, fuzz_seconds: float, *, fast: bool
) -> None:
    with flooded(tmp_path, fast=fast, **BOUNDS) as receiver:
        Fuzzing(receiver).go_on_for(max(SECONDS, fuzz_seconds))
