"""Python loads this at the start of each process of a site under test: it stops it at a step.

The folder CRASHES_FOLDER holds a file for each wish; tests/acceptance/crashes/surroundings.py
writes them.
"""

import os
import time
from pathlib import Path

PATIENCE_S = 60.0  #: the test resumes the process long before
FOLDER = os.environ.get("CRASHES_FOLDER")


def stopped_at(moment: object) -> None:
    """Stop the first process that reaches the armed step until the test resumes it."""
    folder = Path(str(FOLDER))
    name = f"{type(moment).__name__}.{moment.name}"  # type: ignore[attr-defined]
    _break_at(folder, name)
    try:
        if (folder / "armed").read_text() != name:
            return
        (folder / "armed").rename(folder / "taken")
    except FileNotFoundError:  # no step is armed, or another process was faster
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
    """Shift the time of day by the seconds in the file."""
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
