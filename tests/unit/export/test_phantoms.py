"""Pairs of drawn hearts: the short way gives what the way through DICOM gives."""

import csv
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from export.__main__ import CLIPS, cli
from export.pairs import open_pairs
from export.phantoms import SLOTS, phantom_pair, write_phantoms
from export.relevance import view_of_each_frame
from export.studies import study_frames
from triage.model.bundle import ClipForm
from triage.phantom.archive import EXTERNAL_LOOK, draw_examination, write_study
from triage.phantom.heart import derive_truth, draw_heart
from triage.phantom.signal import LOOKS
from triage.yaml_models import read

DEMO = read(CLIPS / "demo.yaml", ClipForm)
LATE = ("lge_2ch", "lge_3ch", "lge_lax", "lge_sa")


def gapped(missing: str) -> int:
    """Return a seed whose study lacks just these slots."""
    return next(seed for seed in range(400) if _missing(seed) == missing)


def _missing(seed: int) -> str:
    return ", ".join(
        sorted(SLOTS[each] for each in draw_examination(draw_heart(seed), gaps=True).missing)
    )


@pytest.mark.parametrize("seed", [1, 2, gapped("cine_sa"), gapped(", ".join(LATE))])
@pytest.mark.parametrize("external", [False, True])
def test_both_ways_give_the_same_clip(seed: int, tmp_path: Path, *, external: bool) -> None:
    write_study(tmp_path, draw_heart(seed), LOOKS[EXTERNAL_LOOK] if external else None, gaps=True)
    for clip in ("demo", "published"):
        form = read(CLIPS / f"{clip}.yaml", ClipForm)
        long_way = study_frames(tmp_path, form)
        short_way, row = phantom_pair(seed, form, external=external)
        assert short_way.shape == long_way.shape, clip
        # A level of grey: headers state positions in decimals, and PSIR is stored with an offset.
        assert np.abs(short_way.astype(int) - long_way).max() <= 1, clip
        assert row["impression"] == (tmp_path / "impression.txt").read_text().strip()


def test_a_finding_that_no_view_could_show_has_no_label() -> None:
    seed = gapped(", ".join(LATE))
    _, row = phantom_pair(seed, DEMO, external=False)
    assert row["missing"] == ", ".join(LATE)
    assert row["lge"] == row["amyloid"] == ""
    assert row["lv_dilation"] == str(int(derive_truth(draw_heart(seed)).findings["lv_dilation"]))
    for word in ("nhancement", "LGE", "scar", " DE", "infarct"):
        assert word not in row["impression"]


def test_a_view_that_is_missing_is_black_and_moves_no_other() -> None:
    seed = gapped("lge_2ch")
    clip, _ = phantom_pair(seed, DEMO, external=False)
    views = np.array(view_of_each_frame(DEMO))
    assert views[~clip.any((1, 2))].tolist() == ["lge_2ch"]


def test_fewer_phases_of_a_cine_show_the_same_heart() -> None:
    seed = 3
    usual, labels = phantom_pair(seed, DEMO, external=False)
    quick, same = phantom_pair(seed, DEMO, external=False, phases=6)
    assert same == labels
    away = np.abs(usual.astype(int) - quick).mean((1, 2))
    assert not np.array_equal(usual, quick)
    assert away.max() < 12  # levels: noise, and phases that are not mixed from two


def test_external_hearts_have_readers_and_a_scanner_of_their_own() -> None:
    _, ours = phantom_pair(3, DEMO, external=False)
    _, theirs = phantom_pair(3, DEMO, external=True)
    assert not ours["reader"].startswith("external")
    assert theirs["reader"].startswith("external")
    assert ours["impression"] != theirs["impression"]
    assert ours["lv_dilation"] == theirs["lv_dilation"]


def test_several_processes_write_what_one_writes(tmp_path: Path) -> None:
    told: list[None] = []
    for workers in (1, 2):
        folder = tmp_path / str(workers)
        write_phantoms(folder, range(5, 9), DEMO, workers=workers, done=lambda: told.append(None))
    assert len(told) == 8
    one, two = (open_pairs(tmp_path / each) for each in ("1", "2"))
    assert np.array_equal(one.frames, two.frames)
    assert one.rows == two.rows
    assert [row["id"] for row in one.rows] == ["00000005", "00000006", "00000007", "00000008"]


def test_the_command_draws_hearts(tmp_path: Path) -> None:
    arguments = ["phantoms", "--out", str(tmp_path), "--count", "2", "--workers", "1"]
    clip = ["--clip", str(CLIPS / "demo.yaml"), "--external"]
    done = CliRunner().invoke(cli, [*arguments, *clip], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert open_pairs(tmp_path).form == DEMO
    with (tmp_path / "pairs.csv").open(newline="") as file:
        assert all(row["reader"].startswith("external") for row in csv.DictReader(file))
