"""`triage demo`, as a new user runs it."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from uuid import uuid4

from pydicom import dcmread

from tests.acceptance.site import MARK, processes
from tests.integration.command_line import run_triage
from triage.cli.demo_site import REAL_STUDY
from triage.cli.terminal import format_score
from triage.model.bundle import open_bundle
from triage.phantom.archive import write_study
from triage.phantom.heart import draw_heart
from triage.phantom.signal import LOOKS
from triage.runtime.model import DEMO_BUNDLE

FINDINGS = 7


def shown_by(*arguments: str, received: Path, mark: str = "") -> str:
    """Run the demo and return its output."""
    shown = subprocess.run(
        [sys.executable, "-m", "triage", "demo", *arguments, "--out", str(received)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, MARK: mark, "COLUMNS": "200"},
    )
    assert shown.returncode == 0, shown.stderr
    return shown.stdout


def test_the_demo_compares_flags_with_the_drawn_heart_and_leaves_no_process(tmp_path: Path) -> None:
    mark = uuid4().hex
    began = time.monotonic()
    shown = shown_by(received=tmp_path / "received", mark=mark)
    took_s = time.monotonic() - began
    calibration = open_bundle(DEMO_BUNDLE).calibration
    assert calibration is not None
    count = len(calibration.findings)
    assert f" of {count} flags agree with the heart that was drawn" in shown
    assert shown.count("agrees") + shown.count("differs") == count
    assert shown.count("no threshold is calibrated") == FINDINGS - count
    assert "study DELIVERED" in shown
    received = {dcmread(path).Modality: path for path in (tmp_path / "received").glob("*.dcm")}
    assert sorted(received) == ["DOC", "KO", "SR"]
    assert all(path.name in shown for path in received.values())
    pdf = received["DOC"].with_suffix(".pdf")
    page = received["DOC"].with_suffix(".page1.png")
    assert pdf.read_bytes().startswith(b"%PDF")
    assert page.read_bytes().startswith(b"\x89PNG")
    assert f"as pdf: {pdf}" in shown
    assert f"as png: {page}" in shown
    assert took_s < 180
    assert not processes(mark, "cmr-triage-demo-")


def test_a_real_heart_has_scores_and_no_flags(tmp_path: Path) -> None:
    scored = run_triage("score", REAL_STUDY, "--json")
    rows = json.loads(scored.stdout)["rows"]
    assert len(rows) == FINDINGS
    assert any(row["score"] is not None for row in rows)
    shown = shown_by("--real", received=tmp_path / "received")
    cells = [re.split(r"\s*│\s*", line)[2:5] for line in shown.splitlines() if "│" in line]
    assert cells == [
        ["Not Evaluated", format_score(row["score"]), format_score(row["threshold"])]
        for row in rows
    ]
    assert "not for patients: no flags" in shown
    assert "\nview cine_sa: " in shown
    assert "\nview cine_lax: " in shown
    assert "no images for view lge_sa" in shown
    assert "agree" not in shown
    assert "absent" not in shown.lower()


def test_a_folder_without_dicom_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("no DICOM")
    shown = run_triage("demo", "--study", tmp_path)
    assert shown.returncode == 2
    assert "contains no DICOM files" in shown.stderr
    assert "Traceback" not in shown.stderr


def test_real_and_study_exclude_each_other(tmp_path: Path) -> None:
    shown = run_triage("demo", "--real", "--study", tmp_path)
    assert shown.returncode == 2
    assert "--real and --study name two studies" in shown.stderr


def test_the_demo_uses_all_six_views_of_a_drawn_heart(tmp_path: Path) -> None:
    write_study(tmp_path / "study", draw_heart(2), LOOKS["siemens"], extras=True)
    shown = shown_by("--study", str(tmp_path / "study"), received=tmp_path / "received")
    for view in ("cine_lax", "cine_sa", "lge_sa", "lge_lax", "lge_2ch", "lge_3ch"):
        assert f"\nview {view}: " in shown
    assert "no images for view" not in shown


def test_the_demo_refuses_settings(tmp_path: Path) -> None:
    shown = run_triage("demo", config=tmp_path / "triage.yaml")
    assert shown.returncode == 2
    assert "demo has settings of its own: leave out --config" in shown.stderr
