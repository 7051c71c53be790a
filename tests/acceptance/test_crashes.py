"""The crash matrix in short; tests/benchmarks/test_crashes.py runs all of it."""

from pathlib import Path

import pytest

from tests.acceptance.crashes.faults import FAULTS
from tests.acceptance.crashes.matrix import MOMENTS, cells, every, table
from triage.steps import Moment


def a_few() -> list[tuple[Moment, str]]:
    """Return every moment once, with each fault in turn."""
    of_moment = {moment: [f for m, f in cells() if m == moment] for moment in MOMENTS}
    return [
        (moment, faults[place % len(faults)])
        for place, (moment, faults) in enumerate(of_moment.items())
    ]


def test_the_short_form_has_every_step_and_every_fault() -> None:
    assert {moment for moment, _ in a_few()} == set(MOMENTS)
    assert {fault for _, fault in a_few()} | {"it is killed"} == set(FAULTS)


@pytest.mark.timeout(900)
def test_nothing_is_lost_and_nothing_doubled_whatever_breaks(tmp_path: Path) -> None:
    done = every(tmp_path, a_few())
    print(table(done))  # noqa: T201
    assert not [str(each) for each in done if not each.holds]
