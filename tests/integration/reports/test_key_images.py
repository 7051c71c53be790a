"""The Key Object Selection: its content, and its validity for other programs."""

from pathlib import Path

import pytest

from tests.builders.reportings import KINDS
from tests.integration.judges import dciodvfy, dsrdump, lines_starting_with, pixelmed, rendered_text
from triage.reports import key_images


@pytest.fixture(scope="module")
def selections(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return the selection of each kind of report that has one, as a file."""
    folder = tmp_path_factory.mktemp("selections")
    files = dict[str, Path]()
    for kind, make in KINDS.items():
        product = key_images.build(make())
        if product is not None:
            files[kind] = folder / f"{kind}.dcm"
            files[kind].write_bytes(product.content)
    return files


def test_some_kinds_of_report_have_a_selection_and_some_have_none(
    selections: dict[str, Path],
) -> None:
    assert {"usual"} <= selections.keys() < KINDS.keys()


def test_dciodvfy_and_dcmtk_find_no_error(selections: dict[str, Path]) -> None:
    for kind, file in selections.items():
        lines = dciodvfy(file)
        assert "KeyObjectSelectionDocument" in lines, kind
        assert lines_starting_with(lines, "Error") == [], kind
        assert lines_starting_with(dsrdump(file).splitlines(), "E: ") == [], kind
        assert "Of Interest" in rendered_text(file), kind


def test_pixelmed_finds_neither_error_nor_warning(selections: dict[str, Path]) -> None:
    for kind, file in selections.items():
        lines = pixelmed(file)
        assert "Found Root Template TID_2010 (KeyObjectSelection)" in lines, kind
        assert lines_starting_with(lines, "Error", "Warning") == [], kind
