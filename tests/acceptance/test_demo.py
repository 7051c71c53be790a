"""`triage demo`, as somebody meets the project for the first time."""

import os
import subprocess
import sys
import time
from pathlib import Path
from uuid import uuid4

from pydicom import dcmread

from tests.acceptance.site import MARK, processes
from triage.phantom.archive import write_study
from triage.phantom.heart import draw
from triage.phantom.signal import LOOKS

FINDINGS = 7


def test_the_demo_shows_flags_names_its_report_and_leaves_no_process(tmp_path: Path) -> None:
    mark = uuid4().hex
    began = time.monotonic()
    shown = subprocess.run(
        [sys.executable, "-m", "triage", "demo", "--out", str(tmp_path / "received")],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, MARK: mark, "COLUMNS": "200"},
    )
    took_s = time.monotonic() - began
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.count("model is untrained") == FINDINGS
    assert "not looked at lge_sa" in shown.stdout
    assert "study DELIVERED" in shown.stdout
    (report,) = (tmp_path / "received").glob("*.dcm")
    assert report.name in shown.stdout
    assert dcmread(report).Modality == "SR"
    assert took_s < 60
    assert not processes(mark, "cmr-triage-demo-")


def test_the_demo_names_a_folder_without_dicom(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("no DICOM")
    shown = subprocess.run(
        [sys.executable, "-m", "triage", "demo", "--study", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert shown.returncode == 2
    assert "holds no DICOM files" in shown.stderr
    assert "Traceback" not in shown.stderr


def test_the_demo_looks_at_all_six_views_of_a_drawn_heart(tmp_path: Path) -> None:
    write_study(tmp_path / "study", draw(2), LOOKS["siemens"], extras=True)
    command = [sys.executable, "-m", "triage", "demo", "--study", str(tmp_path / "study")]
    shown = subprocess.run(
        [*command, "--out", str(tmp_path / "received")],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "200"},
    )
    assert shown.returncode == 0, shown.stderr
    for view in ("cine_lax", "cine_sa", "lge_sa", "lge_lax", "lge_2ch", "lge_3ch"):
        assert f"\nlooked at {view}: " in shown.stdout
    assert "not looked at" not in shown.stdout
