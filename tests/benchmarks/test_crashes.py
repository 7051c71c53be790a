"""The whole crash matrix; its table is written to deploy/CRASHES.md."""

import time
from pathlib import Path

import pytest

from tests.acceptance.crashes.matrix import Cell, cells, every, table

DOCUMENT = Path(__file__).parents[2] / "deploy" / "CRASHES.md"
WORDS = """\
# What breaks, and what came of it

Written by `make crashes`: a real site (`triage serve`, its Redis, an Orthanc, senders that try
again) brings a small study from its first instance to its end, for every step of its way and every
fault. The steps are those of `triage/crash_points/__init__.py`, where a crash would part two things, and the events
of the state machine, each before its transaction is committed. At the step the process is stopped,
the fault happens, and it goes on, if it still lives.

Each cell: studies in, reports at the archive, lost, doubled. Lost is an instance that was answered
with Success and is not on disk, a study that does not come to its right end, or a report that is
not at the archive. Doubled is a report or a revision beyond one. A study that is declined has no
report. Empty: the same as the cell of the process that stands at this step.

{sum}

{table}
"""


def summed(done: list[Cell], seconds: float) -> str:
    wrong = [cell for cell in done if not cell.holds]
    return (
        f"**{len(done)} studies in, {sum(cell.reports for cell in done)} reports out, "
        f"{sum(cell.lost for cell in done)} lost, {sum(cell.doubled for cell in done)} doubled**, "
        f"{len(wrong)} cells wrong, in {seconds / 60:.0f} minutes."
    )


@pytest.mark.timeout(7200)
def test_the_whole_matrix(tmp_path: Path) -> None:
    began = time.monotonic()
    done = every(tmp_path, cells())
    DOCUMENT.write_text(
        WORDS.format(sum=summed(done, time.monotonic() - began), table=table(done)),
        encoding="utf-8",
    )
    assert not [str(each) for each in done if not each.holds]
