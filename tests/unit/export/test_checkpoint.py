import json
import shutil
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.testing import assert_close

from export.checkpoint import load_checkpoint
from export.cmrclip import CmrClip, NetworkSizes, TextSizes, VideoSizes, VideoTower
from tests.unit.export.golden import GOLDEN, HUB_FORM, TRAINER_FORM
from triage.domain.errors import ConfigurationError
from triage.model.bundle import hash_file

TINY = NetworkSizes(
    video=VideoSizes(image=32, patch=8, width=48, depth=3, heads=4, hidden=192, frames=8),
    text=TextSizes(vocabulary=120, width=40, depth=2, heads=4, hidden=80, positions=64),
    embedding=24,
)
TEMPORAL = "video_model.temporal_embed"


@pytest.fixture
def weights() -> dict[str, torch.Tensor]:
    return dict(torch.load(GOLDEN / "pytorch_model.bin", weights_only=True))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An own folder with the head counts of the recorded network."""
    shutil.copy(GOLDEN / "sizes.json", tmp_path)
    return tmp_path


def refusal(path: Path) -> str:
    with pytest.raises(ConfigurationError) as refused:
        load_checkpoint(path)
    return str(refused.value)


@pytest.mark.parametrize("form", [HUB_FORM, TRAINER_FORM], ids=["hub", "trainer"])
def test_sizes_come_from_the_tensors(form: Path) -> None:
    assert load_checkpoint(form).network.sizes == TINY


def test_both_forms_hold_the_same_network() -> None:
    hub, trainer = (load_checkpoint(form).network.state_dict() for form in (HUB_FORM, TRAINER_FORM))
    assert_close(trainer, hub, atol=0, rtol=0)


def test_the_one_trainer_file_of_a_folder_is_found(folder: Path) -> None:
    shutil.copy(TRAINER_FORM, folder / "best.pth")
    assert load_checkpoint(folder).file == "best.pth"


def test_a_file_may_be_named_itself(folder: Path) -> None:
    shutil.copy(GOLDEN / "pytorch_model.bin", folder / "other.bin")
    assert load_checkpoint(folder / "other.bin").network.sizes == TINY


def test_provenance_names_the_file_its_digest_and_the_epoch() -> None:
    epoch = torch.load(TRAINER_FORM, weights_only=True)["epoch"]
    assert load_checkpoint(TRAINER_FORM).provenance == {
        "checkpoint": "training_checkpoint.pth",
        "checkpoint_sha256": hash_file(TRAINER_FORM),
        "epoch": epoch,
    }


def test_the_position_buffer_of_older_checkpoints_is_dropped(
    folder: Path, weights: dict[str, torch.Tensor]
) -> None:
    weights["text_model.embeddings.position_ids"] = torch.arange(64)[None]
    wrapped = {f"module.{name}": tensor for name, tensor in weights.items()}
    torch.save({"state_dict": wrapped}, folder / "old.pth")
    assert load_checkpoint(folder).network.sizes == TINY


def test_half_precision_becomes_single(folder: Path, weights: dict[str, torch.Tensor]) -> None:
    torch.save({name: t.half() for name, t in weights.items()}, folder / "pytorch_model.bin")
    dtypes = {tensor.dtype for tensor in load_checkpoint(folder).network.parameters()}
    assert dtypes == {torch.float32}


@torch.no_grad()
def test_heads_are_64_wide_where_no_file_names_them(tmp_path: Path) -> None:
    assert isinstance(TINY.video, VideoSizes)
    sizes = NetworkSizes(
        video=replace(TINY.video, width=128, depth=1, heads=2),
        text=replace(TINY.text, width=192, depth=1, heads=3),
        embedding=24,
    )
    torch.save(CmrClip(sizes).state_dict(), tmp_path / "pytorch_model.bin")
    assert load_checkpoint(tmp_path).network.sizes == sizes


def test_a_width_that_does_not_part_into_heads_of_64_asks_for_sizes(tmp_path: Path) -> None:
    shutil.copy(GOLDEN / "pytorch_model.bin", tmp_path)
    assert "heads of 64" in refusal(tmp_path)
    assert "video.num_heads in" in refusal(tmp_path)


def test_head_counts_that_do_not_part_the_width_are_refused(tmp_path: Path) -> None:
    shutil.copy(GOLDEN / "pytorch_model.bin", tmp_path)
    (tmp_path / "sizes.json").write_text('{"video": {"num_heads": 5}}')
    assert "width of 48 does not part into 5 heads" in refusal(tmp_path)


@pytest.mark.parametrize("frames", [3, 8, 12])
def test_temporal_positions_are_cut_or_filled_with_zeros(
    frames: int, weights: dict[str, torch.Tensor]
) -> None:
    network = load_checkpoint(HUB_FORM, frames).network
    held = min(frames, 8)
    assert isinstance(network.video_model, VideoTower)
    positions = network.video_model.temporal_embed
    assert network.sizes.video.frames == positions.shape[1] == frames
    assert_close(positions[:, :held].data, weights[TEMPORAL][:, :held], atol=0, rtol=0)
    assert not positions[:, held:].any()


def test_the_configured_number_of_frames_stands_before_that_of_the_tensor(folder: Path) -> None:
    shutil.copy(GOLDEN / "pytorch_model.bin", folder)
    (folder / "config.json").write_text(json.dumps({"video_params": {"num_frames": 6}}))
    assert load_checkpoint(folder).network.sizes.video.frames == 6


def test_missing_and_unexpected_tensors_are_named(
    folder: Path, weights: dict[str, torch.Tensor]
) -> None:
    del weights["video_model.blocks.1.norm3.bias"]
    weights["video_model.head.weight"] = torch.zeros(2)
    weights["txt_proj.1.bias"] = torch.zeros(7)
    torch.save(weights, folder / "pytorch_model.bin")
    message = refusal(folder)
    assert "missing: video_model.blocks.1.norm3.bias" in message
    assert "unexpected: video_model.head.weight" in message
    assert "txt_proj.1.bias (7,) instead of (24,)" in message


def test_a_missing_tensor_that_tells_a_size_is_named(
    folder: Path, weights: dict[str, torch.Tensor]
) -> None:
    del weights[TEMPORAL]
    torch.save(weights, folder / "pytorch_model.bin")
    assert f"lacks {TEMPORAL}" in refusal(folder)


def test_a_file_that_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_text("version https://git-lfs.github.com/spec/v1\n")
    assert "is no torch checkpoint" in refusal(tmp_path)


def test_a_checkpoint_that_was_cut_short_is_refused(tmp_path: Path) -> None:
    whole = (GOLDEN / "pytorch_model.bin").read_bytes()
    (tmp_path / "pytorch_model.bin").write_bytes(whole[: len(whole) // 2])
    assert "is no torch checkpoint" in refusal(tmp_path)


@pytest.mark.parametrize("content", [[1, 2], {}, {"state_dict": {"epoch": 3}}])
def test_a_checkpoint_of_something_else_is_refused(tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "pytorch_model.bin")
    assert "pytorch_model.bin" in refusal(tmp_path)


def test_a_checkpoint_that_could_run_code_is_refused(
    tmp_path: Path, weights: dict[str, torch.Tensor]
) -> None:
    torch.save({"state_dict": weights, "config": Fraction(1, 2)}, tmp_path / "best.pth")
    message = refusal(tmp_path)
    assert "fractions.Fraction" in message
    assert "torch.save({'state_dict'" in message


def test_a_folder_without_weights_is_refused(tmp_path: Path) -> None:
    assert "expected pytorch_model.bin or one .pth file" in refusal(tmp_path)


def test_of_several_trainer_files_one_has_to_be_named(tmp_path: Path) -> None:
    for name in ("a.pth", "b.pth"):
        shutil.copy(TRAINER_FORM, tmp_path / name)
    assert "found a.pth, b.pth; name the file itself" in refusal(tmp_path)


def test_a_path_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert "neither a file nor a folder" in refusal(tmp_path / "nowhere")
