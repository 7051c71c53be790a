"""The whole crash matrix; its table is written to deploy/CRASHES.md."""

import time
from pathlib import Path

import pytest

from tests.acceptance.crashes.matrix import Cell, cells, every, table

DOCUMENT = Path(__file__).parents[2] / "deploy" / "CRASHES.md"
TEMPLATE = """\
# Crash matrix: every fault at every step

Research use only. Written by `make crashes` (about an hour). A real site (`triage serve`, its
Redis, an Orthanc, senders that retry) processes a small study from its first instance to its end,
once for every step and every fault. The steps are the crash points of `triage/crash_points`, at
which a crash would separate two actions that belong together, and the events of the state
machine, each before its transaction is committed. At the step the process is stopped, the fault
happens, and the process continues if it is still alive.

Each cell: studies in, reports at the archive, lost, doubled. Lost is an instance that was
answered with Success and is not on disk, a study that does not reach its right end state, or a
report that is not at the archive. Doubled is a report or a revision beyond one. A declined study
has no report. Empty: the same as the cell of the process that executes this step.

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
        TEMPLATE.format(sum=summed(done, time.monotonic() - began), table=table(done)),
        encoding="utf-8",
    )
    assert not [str(each) for each in done if not each.holds]
