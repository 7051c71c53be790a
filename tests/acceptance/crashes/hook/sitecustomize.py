"""Python loads this at the start of each process of a site under test: it stops it at a step.

The folder CRASHES_FOLDER holds a file for each wish; tests/acceptance/crashes/surroundings.py
writes them.
"""

import os
import time
from pathlib import Path

PATIENCE_S = 60.0  #: whoever stopped somebody lets them go on long before
FOLDER = os.environ.get("CRASHES_FOLDER")


def stopped_at(moment: object) -> None:
    """Wait at the step that is armed, the first who reaches it, until told to go on."""
    folder = Path(str(FOLDER))
    name = f"{type(moment).__name__}.{moment.name}"  # type: ignore[attr-defined]
    _break_at(folder, name)
    try:
        if (folder / "armed").read_text() != name:
            return
        (folder / "armed").rename(folder / "taken")
    except FileNotFoundError:  # nothing is armed, or somebody was faster
        return
    (folder / "pid").write_text(str(os.getpid()))
    (folder / "pid").rename(folder / "reached")
    until = time.monotonic() + PATIENCE_S
    while not (folder / "go").exists() and time.monotonic() < until:
        time.sleep(0.01)


def _break_at(folder: Path, name: str) -> None:
    """Break as often as is wished when a study was read."""
    wish = folder / "breaks"
    if name == "CrashPoint.READ" and wish.exists() and (left := int(wish.read_text())):
        wish.write_text(str(left - 1))
        raise RuntimeError("broken on purpose")


def _shift_the_clock() -> None:
    """Have the time of day be wrong by what the file says."""
    right = time.time
    wish = Path(str(FOLDER)) / "shift_s"

    def wrong() -> float:
        try:
            return right() + float(wish.read_text())
        except (FileNotFoundError, ValueError):
            return right()

    time.time = wrong


if FOLDER:
    from triage import crash_points as steps

    _shift_the_clock()
    steps.watch(stopped_at)
