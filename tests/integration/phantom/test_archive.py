"""Phantom studies as the worker meets them: drawn, written, read back by its own eyes."""

import subprocess
from pathlib import Path

import pytest

from tests.peers import dciodvfy_errors, peer
from triage.dicom.header import read_identity
from triage.phantom.archive import write_study
from triage.phantom.heart import draw_heart
from triage.phantom.signal import LOOKS


@pytest.mark.parametrize("enhanced", [False, True])
@pytest.mark.parametrize("look", ["siemens", "ge", "philips"])
def test_dciodvfy_finds_no_error_in_a_drawn_study(
    look: str, tmp_path: Path, *, enhanced: bool
) -> None:
    paths = write_study(tmp_path, draw_heart(5), LOOKS[look], extras=True, enhanced=enhanced)
    for path in {read_identity(each.read_bytes()).series_uid: each for each in paths}.values():
        judged = subprocess.run(
            [peer("dciodvfy"), str(path)], capture_output=True, text=True, check=False
        )
        assert dciodvfy_errors(judged.stderr) == [], path.name
