"""The demo study is small, sound and de-identified, and its pixels equal the source's.

The allowed attributes are listed here a second time, so that a defect of the builder is found.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.peers import peer

ROOT = Path(__file__).parents[3]
STUDY = ROOT / "triage" / "demo_study"
BUILDER = ROOT / "tests" / "builders" / "make_demo_study.py"
SERIES = {"sax_1": "Se2", "sax_2": "Se3", "sax_3": "Se4", "four_chamber": "Se6"}
FILES = sorted(STUDY.rglob("*.dcm"))


@pytest.fixture(scope="module")
def source_folder() -> Path:
    data = Path(os.environ.get("TRIAGE_REAL_DATA", ROOT.parent / "shared" / "data"))
    folder = data / "siemens_vida_cine" / "patient1"
    if not folder.is_dir():
        pytest.skip(f"the source of the demo study is not here: {folder}")
    return folder


def test_the_builder_makes_the_same_bytes(source_folder: Path, tmp_path: Path) -> None:
    command = [sys.executable, str(BUILDER), "--source", str(source_folder), "--out", str(tmp_path)]
    subprocess.run(command, check=True, capture_output=True)
    made = {file.relative_to(tmp_path): file.read_bytes() for file in tmp_path.rglob("*.dcm")}
    assert made == {file.relative_to(STUDY): file.read_bytes() for file in FILES}


@pytest.mark.parametrize("name", SERIES)
def test_dciodvfy_finds_no_error(name: str) -> None:
    file = STUDY / name / "phase_13.dcm"
    done = subprocess.run(
        [peer("dciodvfy"), file], check=False, capture_output=True, text=True, timeout=60
    )
    assert "MRImage" in done.stderr
    assert "Error" not in done.stderr
