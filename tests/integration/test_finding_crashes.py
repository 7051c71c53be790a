"""A change of findings whose process is killed is made as a whole, or not at all.

A new point joins by itself: the cells are taken from `ChangePoint`.
"""

import json
import subprocess
import sys
from itertools import product
from pathlib import Path

from tests.integration.finding_crash_cells import CHANGES
from triage.crash_points import ChangePoint

MODULE = "tests.integration.finding_crash_cells"


def test_a_killed_change_leaves_the_old_versions_or_the_new_ones(tmp_path: Path) -> None:
    command = [sys.executable, "-m", MODULE, str(tmp_path)]
    shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    cells = [json.loads(line) for line in shown.splitlines()]
    points = [point.name for point in ChangePoint]
    assert {(cell["change"], cell["point"]) for cell in cells} == {*product(CHANGES, points)}
    assert [cell for cell in cells if not (cell["killed"] and cell["ends_right"])] == []
    halves = [cell for cell in cells if cell["is_old"] == cell["is_new"]]
    assert halves == []
    kept = {cell["point"] for cell in cells if cell["is_new"]}
    assert kept == {ChangePoint.COMMITTED.name}
