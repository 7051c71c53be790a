import json
import re
from pathlib import Path

import pytest
import torch
from torch.nn import functional
from torch.testing import assert_close

from export.checkpoint import load_checkpoint
from export.cmrclip import Block, CmrClip, NetworkSizes, TextSizes, VideoSizes, similarity
from tests.unit.export.golden import (
    GOLDEN,
    HUB_FORM,
    TOLERANCE,
    TRAINER_FORM,
    recorded_tensor,
    video_of,
)

PUBLISHED = NetworkSizes(
    video=VideoSizes(image=224, patch=16, width=768, depth=12, heads=12, hidden=3072, frames=64),
    text=TextSizes(vocabulary=28996, width=768, depth=12, heads=12, hidden=3072, positions=512),
    embedding=512,
)

both_forms = pytest.mark.parametrize("form", [HUB_FORM, TRAINER_FORM], ids=["hub", "trainer"])
both_clips = pytest.mark.parametrize("clip", ["full", "short"])


def assert_as_recorded(answer: torch.Tensor, name: str) -> None:
    expected = recorded_tensor(name)
    assert_close(answer, expected, atol=TOLERANCE, rtol=0)
    assert functional.cosine_similarity(answer, expected, dim=-1).min() >= 1 - 1e-6


@both_forms
@both_clips
@torch.inference_mode()
def test_video_answers_are_those_of_the_published_code(form: Path, clip: str) -> None:
    network = load_checkpoint(form).network
    video = video_of(f"{clip}_grey")
    assert_as_recorded(network.video_model(video)[0], f"{clip}_feature")
    assert_as_recorded(network.embed_video(video)[0], f"{clip}_embedding")


@both_forms
@torch.inference_mode()
def test_text_answers_are_those_of_the_published_code(form: Path) -> None:
    network = load_checkpoint(form).network
    answer = network.embed_text(recorded_tensor("input_ids"), recorded_tensor("attention_mask"))
    assert_as_recorded(answer, "text_embedding")


@both_forms
@torch.inference_mode()
def test_similarities_are_those_of_the_published_code(form: Path) -> None:
    network = load_checkpoint(form).network
    videos = torch.cat(
        [network.embed_video(video_of(f"{clip}_grey")) for clip in ("full", "short")]
    )
    texts = network.embed_text(recorded_tensor("input_ids"), recorded_tensor("attention_mask"))
    assert_as_recorded(similarity(texts, videos), "similarity")


@torch.inference_mode()
def test_a_summary_is_the_first_row_of_the_whole_block() -> None:
    torch.manual_seed(0)
    block = Block(width=12, heads=3, hidden=20)
    tokens = torch.randn(2, 1 + 4 * 5, 12)
    assert_close(block.summarise(tokens, frames=4), block(tokens, frames=4)[:, :1])


@torch.inference_mode()
def test_studies_of_a_batch_do_not_mix(network: CmrClip) -> None:
    torch.manual_seed(0)
    videos = torch.randn(3, 8, 3, 32, 32)
    each = torch.cat([network.embed_video(video[None]) for video in videos])
    assert_close(network.embed_video(videos), each)


def test_the_network_of_published_size_has_the_published_parameters() -> None:
    with torch.device("meta"):
        network = CmrClip(PUBLISHED)
    shapes = {name: list(tensor.shape) for name, tensor in network.state_dict().items()}
    assert shapes == published_shapes()


def published_shapes() -> dict[str, list[int]]:
    """The published code's own list of a small network, scaled up."""
    small = json.loads((GOLDEN / "state_dict_shapes.json").read_text())
    scale = {48: 768, 144: 2304, 192: 3072, 17: 197, 40: 768, 80: 3072, 120: 28996, 24: 512}
    shapes = {}
    for name, shape in small.items():
        if re.search(r"\.[1-9]\.", name.replace("_proj.1.", "_proj.")):
            continue  # block 0 stands for the others
        scaled = [scale.get(size, size) for size in shape]
        for number in range(12):
            shapes[name.replace(".0.", f".{number}.")] = scaled
    shapes["video_model.temporal_embed"] = [1, 64, 768]
    shapes["video_model.patch_embed.proj.weight"] = [768, 3, 16, 16]
    shapes["text_model.embeddings.position_embeddings.weight"] = [512, 768]
    return shapes
