"""Contact sheets have a tile for every heart and view."""

from pathlib import Path

from PIL import Image

from triage.phantom.heart import Pathology, draw_heart
from triage.phantom.sheet import CAPTION, COLUMNS, TILE, pathology_hearts, write_sheet, write_study
from triage.phantom.signal import LOOKS


def test_a_sheet_has_a_row_for_every_heart(tmp_path: Path) -> None:
    hearts = {kind.value: draw_heart(1, (kind,)) for kind in (Pathology.NORMAL, Pathology.DILATED)}
    write_sheet(tmp_path / "sheet.png", hearts)
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (len(COLUMNS) * TILE, CAPTION + 2 * (TILE + CAPTION))
        assert sheet.getextrema() == (0, 255)


def test_a_study_has_a_row_for_every_stack(tmp_path: Path) -> None:
    write_study(tmp_path / "study.png", draw_heart(1), LOOKS["external"], 1, extras=False)
    with Image.open(tmp_path / "study.png") as sheet:
        assert sheet.height == CAPTION + 8 * (TILE + CAPTION)


def test_every_pathology_has_a_heart() -> None:
    hearts = pathology_hearts(5)
    assert [*hearts] == [kind.value for kind in Pathology]
    assert all(heart.pathologies == (Pathology(kind),) for kind, heart in hearts.items())
