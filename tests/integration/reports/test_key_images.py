"""The Key Object Selection: what it names, and what other people's programs make of it."""

from pathlib import Path

import pytest

from tests.builders.reportings import KINDS
from tests.integration.judges import dciodvfy, dsrdump, pixelmed, rendered, starting
from triage.reports import key_images
from triage.reports.reporting import Reporting

SELECTED = [kind for kind in KINDS if key_images.build(KINDS[kind]()) is not None]


def content(said: Reporting) -> bytes:
    product = key_images.build(said)
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
    assert starting(lines, "Error") == []
    assert starting(dsrdump(file).splitlines(), "E: ") == []
    assert "Of Interest" in rendered(file)


def test_pixelmed_finds_neither_error_nor_warning(file: Path) -> None:
    lines = pixelmed(file)
    assert "Found Root Template TID_2010 (KeyObjectSelection)" in lines
    assert starting(lines, "Error", "Warning") == []
