"""PDF and Secondary Capture as DICOM objects, validated by dicom3tools."""

import subprocess
from pathlib import Path

import pytest

from tests.builders.reportings import KINDS
from tests.peers import peer
from triage.reports import pdf, secondary_capture

BUILDERS = {pdf.KIND: pdf.build, secondary_capture.KIND: secondary_capture.build}
CLASSES = {
    pdf.KIND: {"EncapsulatedPDF"},
    secondary_capture.KIND: {"SCImage", "MultiframeTrueColorSCImage"},
}
BUILDER = pytest.mark.parametrize("kind", BUILDERS)


@BUILDER
@pytest.mark.parametrize("what", KINDS)
def test_dciodvfy_finds_no_error(kind: str, what: str, tmp_path: Path) -> None:
    file = tmp_path / "companion.dcm"
    file.write_bytes(BUILDERS[kind](KINDS[what]()).content)
    done = subprocess.run([peer("dciodvfy"), "-new", file], capture_output=True, check=False)
    lines = (done.stdout + done.stderr).decode().splitlines()
    assert CLASSES[kind] & set(lines)
    assert [line for line in lines if line.startswith("Error")] == []
    # A study without date, time or number cannot be in a DICOMDIR, whatever the report.
    assert all("needed to build DICOMDIR" in line for line in lines if line.startswith("Warning"))
