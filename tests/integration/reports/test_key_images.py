"""The Key Object Selection: its content, and its validity for other programs."""

from pathlib import Path

import pytest

from tests.builders.reportings import KINDS
from tests.integration.judges import dciodvfy, dsrdump, lines_starting_with, pixelmed, rendered_text
from triage.reports import key_images
from triage.reports.reporting import Reporting

SELECTED = [kind for kind in KINDS if key_images.build(KINDS[kind]()) is not None]


def content(source: Reporting) -> bytes:
    product = key_images.build(source)
    assert product is not None
    return product.content


@pytest.fixture(params=SELECTED)
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "selection.dcm"
    path.write_bytes(content(KINDS[request.param]()))
    return path


def test_dciodvfy_and_dcmtk_find_no_error(file: Path) -> None:
    lines = dciodvfy(file)
    assert "KeyObjectSelectionDocument" in lines
    assert lines_starting_with(lines, "Error") == []
    assert lines_starting_with(dsrdump(file).splitlines(), "E: ") == []
    assert "Of Interest" in rendered_text(file)


def test_pixelmed_finds_neither_error_nor_warning(file: Path) -> None:
    lines = pixelmed(file)
    assert "Found Root Template TID_2010 (KeyObjectSelection)" in lines
    assert lines_starting_with(lines, "Error", "Warning") == []
