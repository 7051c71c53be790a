"""Synthetic studies are written, and read back by the worker."""

import json
from functools import partial
from pathlib import Path

import pytest

from triage.dicom.header import read_header, read_identity
from triage.imaging.series import Image, select_views
from triage.phantom.archive import write_archive, write_study
from triage.phantom.heart import Pathology, derive_truth, draw_heart
from triage.phantom.signal import LOOKS

VIEWS = ("cine_lax", "cine_sa", "lge_sa", "lge_lax", "lge_2ch", "lge_3ch")


@pytest.mark.parametrize("look", LOOKS)
def test_every_view_is_found_and_no_other_series_is_used(look: str, tmp_path: Path) -> None:
    paths = write_study(tmp_path, draw_heart(11), LOOKS[look], extras=True)
    contents = {str(path): path.read_bytes() for path in paths}
    assert len({read_identity(content).sop_instance_uid for content in contents.values()}) == len(
        paths
    )
    images = [Image(path, read_header(content)) for path, content in contents.items()]
    selection = select_views(images, VIEWS)
    assert [chosen.view for chosen in selection.used] == list(VIEWS)
    assert all(stack.reason for stack in selection.unused)
    reasons = " ".join(stack.reason for stack in selection.unused)
    for meaning in ("localizer", "TI scout", "T1 map", "T2 map", "perfusion", "flow"):
        assert meaning in reasons


def test_an_archive_has_a_folder_per_seed_with_report_and_truth(tmp_path: Path) -> None:
    write = partial(write_study, look=LOOKS["ge"])
    write_archive(tmp_path, range(3, 5), write, (Pathology.DILATED,))
    assert [folder.name for folder in sorted(tmp_path.iterdir())] == ["00000003", "00000004"]
    truth = json.loads((tmp_path / "00000003" / "truth.json").read_text())
    assert truth["findings"] == dict(derive_truth(draw_heart(3, (Pathology.DILATED,))).findings)
    assert (tmp_path / "00000003" / "impression.txt").read_text().strip()


def test_the_same_seed_gives_the_same_study(tmp_path: Path) -> None:
    one, other = (
        [path.read_bytes() for path in write_study(tmp_path / name, draw_heart(9))] for name in "ab"
    )
    assert one == other
