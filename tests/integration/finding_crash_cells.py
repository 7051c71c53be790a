"""Makes every change of findings in processes that are killed at every `ChangePoint`.

`python -m tests.integration.finding_crash_cells FOLDER` prints one JSON object for each cell: a
change, a point, how the process ended, and the versions before, afterwards, and after the change
was made to its end. Times are left out.
"""

import json
import os
import shutil
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.builders.calibrations import by_budget, labelled
from triage.config import Settings
from triage.crash_points import ChangePoint, Moment, watch
from triage.domain.calibration import SiteCalibration
from triage.domain.finding_version import FindingHistories, FindingState, FindingVersion
from triage.findings.loader import load_entries
from triage.pipeline.change_findings import FindingEditor
from triage.runtime.clock import SystemClock
from triage.runtime.finding_changes import open_finding_editor
from triage.runtime.paths import state_folder
from triage.store.findings import SqlFindings
from triage.store.ledger import SqlLedger

Change = Callable[[FindingEditor], object]
WHY = ("anna", "why")
ENTRIES = load_entries(Settings().findings)
CHANGED = ENTRIES[0].model_copy(update={"name": "Changed"})
ADDED = ENTRIES[0].model_copy(update={"id": "ours"})


def _import(editor: FindingEditor) -> object:
    """Edit a finding, add one and retire the others."""
    return editor.import_entries((CHANGED, ADDED), lambda: ENTRIES, *WHY, retire_missing=True)


def _prepare(editor: FindingEditor) -> None:
    """Bring findings into every state from which a change starts."""
    editor.import_entries((*ENTRIES, ADDED), lambda: ENTRIES, *WHY)
    editor.move("ours", FindingState.SILENT, *WHY)


def _calibrate(build: Callable[[FindingVersion], SiteCalibration]) -> Change:
    """Return the change that calibrates a silent finding."""

    def change(editor: FindingEditor) -> object:
        latest = FindingHistories(editor.ledger.list_versions()).find_latest("ours")
        assert latest is not None
        return editor.calibrate("ours", build(latest), *WHY)

    return change


CHANGES: Mapping[str, Change] = {
    "first import": _import,
    "import": _import,
    "silence": lambda editor: editor.move("lge", FindingState.SILENT, *WHY),
    "retire": lambda editor: editor.move("lge", FindingState.RETIRED, *WHY),
    "calibrate by labels": _calibrate(lambda version: labelled(version, 40, 12)),
    "calibrate by a budget": _calibrate(by_budget),
    "activate": lambda editor: editor.move("ours", FindingState.ACTIVE, *WHY),
    "approve": lambda editor: editor.approve("ours", "ben", "seen"),
    "use the bundle": lambda editor: editor.use_bundle("ours", *WHY),
    "undo": lambda editor: editor.undo("ours", *WHY),
}


def list_cells(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield every cell."""
    settings = Settings.model_validate(
        {
            "state_dir": folder / "state",
            "two_person_approval": True,
            "audit": {"file": folder / "audit.log"},
        }
    )
    SqlLedger.in_folder(state_folder(settings), SystemClock()).close()
    for name, change in CHANGES.items():
        if name == "import":
            with open_finding_editor(settings) as editor:
                _prepare(editor)
                editor.move("lge", FindingState.DRAFT, *WHY)
        if name == "retire":
            _make(settings, CHANGES["silence"])
        if name == "approve":
            _make(settings, CHANGES["activate"])
        if name == "use the bundle":
            _make(settings, CHANGES["calibrate by a budget"])
        yield from _run_change(settings, name, change)


def _run_change(settings: Settings, name: str, change: Change) -> Iterator[dict[str, Any]]:
    """Yield the cells of one change; leave the ledger as it was before."""
    before = _list_versions(settings)
    saved = settings.state_dir.with_name("saved")
    shutil.copytree(settings.state_dir, saved)
    times = Counter(_count_points(settings, change))
    complete = _list_versions(settings)
    for point in ChangePoint:
        for time in range(1, times[point] + 1):
            _restore(settings, saved)
            ended = _run_killed(settings, change, point, time)
            after = _list_versions(settings)
            if after == before:
                _make(settings, change)
            yield {
                "change": name,
                "point": point.name,
                "killed": ended == -signal.SIGKILL,
                "is_old": after == before,
                "is_new": after == complete,
                "ends_right": _list_versions(settings) == complete != before,
            }
    _restore(settings, saved)
    shutil.rmtree(saved)


def _restore(settings: Settings, saved: Path) -> None:
    shutil.rmtree(settings.state_dir)
    shutil.copytree(saved, settings.state_dir)


def _make(settings: Settings, change: Change) -> None:
    with open_finding_editor(settings) as editor:
        change(editor)


def _count_points(settings: Settings, change: Change) -> list[Moment]:
    """Make a change and return the points that it reaches."""
    reached: list[Moment] = []
    watch(reached.append)
    _make(settings, change)
    return reached


def _run_killed(settings: Settings, change: Change, point: ChangePoint, time: int) -> int:
    """Make a change in a child that kills itself when it reaches a point; return how it ended."""
    child = os.fork()
    if child == 0:
        left = Counter({point: time})

        def kill(moment: Moment) -> None:
            left[moment] -= 1  # type: ignore[index]
            if moment is point and left[point] == 0:
                os.kill(os.getpid(), signal.SIGKILL)

        watch(kill)
        _make(settings, change)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _list_versions(settings: Settings) -> list[dict[str, Any]]:
    with closing(SqlFindings(SqlLedger.database_in(settings.state_dir))) as findings:
        versions = [asdict(version) for version in findings.list_versions()]
    for version in versions:
        del version["note"]["at"]
    return versions


if __name__ == "__main__":
    for cell in list_cells(Path(sys.argv[1])):
        print(json.dumps(cell))
