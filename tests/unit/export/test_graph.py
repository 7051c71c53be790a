from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from numpy.testing import assert_allclose
from torch import Tensor
from torch.nn import functional
from torch.testing import assert_close

from export.cmrclip import CmrClip, PatchEmbedding
from export.frames import Resize, normalised
from export.graph import FoldedPatches, VideoGraph, resampling, write_text_graph, write_video_graph
from tests.unit.export.conftest import Session
from tests.unit.export.golden import TOLERANCE, recorded, unit

FULL, SHORT = recorded("full_grey"), recorded("short_grey")
EIGHT, FIVE = np.array([8]), np.array([5])


def padded_with(value: int) -> np.ndarray:
    """The five short frames in a clip of eight, (1, 8, H, W)."""
    clip = np.full((1, 8, 32, 32), value, np.uint8)
    clip[0, :5] = SHORT
    return clip


def published_resizes(grey: Tensor) -> Tensor:
    """Resize(256, antialias), CenterCrop(256), Resize(224, antialias), as torchvision does them."""
    up = functional.interpolate(grey, 256, mode="bilinear", align_corners=False, antialias=True)
    return functional.interpolate(up, 224, mode="bilinear", align_corners=False, antialias=True)


def test_folded_resizes_are_the_published_resizes() -> None:
    torch.manual_seed(0)
    grey = torch.rand(1, 3, 224, 224)
    matrix = resampling(224)
    assert_close(matrix.mT @ grey @ matrix, published_resizes(grey), atol=2e-6, rtol=0)


def test_resizes_do_change_the_frames() -> None:
    assert (resampling(224) - torch.eye(224)).abs().max() > 0.1


@pytest.mark.parametrize("resize", ["published", "none"])
@torch.inference_mode()
def test_folded_patches_are_those_of_three_normalised_channels(resize: Resize) -> None:
    torch.manual_seed(0)
    patches = PatchEmbedding(patch=16, width=24)
    frames = torch.randint(0, 256, (2, 3, 224, 224), dtype=torch.uint8)
    grey = published_resizes(frames / 255) if resize == "published" else frames / 255
    rgb = grey[:, :, None].expand(-1, -1, 3, -1, -1)
    mean, deviation = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])
    video = (rgb - mean[:, None, None]) / deviation[:, None, None]
    present = torch.tensor([[True, True, True], [True, False, False]])
    video[1, 1:] = 0
    folded = FoldedPatches(patches, 224, resize)
    assert_close(folded(frames, present), patches(video), atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("resize", ["published", "none"])
@torch.inference_mode()
def test_the_graph_is_the_network_after_the_published_steps(
    network: CmrClip, resize: Resize
) -> None:
    frames, counts = torch.from_numpy(np.stack([FULL, FULL[::-1]])), torch.tensor([8, 3])
    expected = network.embed_video(normalised(frames, counts, 8, resize))
    answer = VideoGraph(network, resize)(frames, counts)
    assert_close(answer, functional.normalize(expected, dim=-1), atol=TOLERANCE, rtol=0)


def test_exported_video_embeddings_are_those_of_the_published_code(video: Session) -> None:
    clips = np.concatenate([FULL[None], padded_with(0)])
    answer = video(frames=clips, frame_count=np.array([8, 5]))
    expected = unit(np.stack([recorded("full_embedding"), recorded("short_embedding")]))
    assert_allclose(answer, expected, atol=TOLERANCE, rtol=0)
    assert (answer * expected).sum(-1).min() >= 1 - 1e-6


def test_frames_need_no_padding(video: Session) -> None:
    answer = video(frames=SHORT[None], frame_count=FIVE)
    assert_allclose(answer[0], unit(recorded("short_embedding")), atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("garbage", [1, 128, 255])
def test_what_lies_behind_the_last_frame_has_no_influence(video: Session, garbage: int) -> None:
    answer = video(frames=padded_with(garbage), frame_count=FIVE)
    assert_allclose(answer[0], unit(recorded("short_embedding")), atol=TOLERANCE, rtol=0)


def test_padding_is_not_a_black_frame(video: Session) -> None:
    black = video(frames=padded_with(0), frame_count=EIGHT)[0]
    assert abs(black - unit(recorded("short_embedding"))).max() > 100 * TOLERANCE


def test_a_count_beyond_the_frames_counts_the_frames(video: Session) -> None:
    answer = video(frames=SHORT[None], frame_count=EIGHT)
    assert_allclose(answer[0], unit(recorded("short_embedding")), atol=TOLERANCE, rtol=0)


def test_a_single_frame_is_a_clip(video: Session, network: CmrClip) -> None:
    answer = video(frames=FULL[None, :1], frame_count=np.array([1]))
    prepared = normalised(torch.from_numpy(FULL[None, :1]), torch.tensor([1]), 8, "none")
    expected = network.embed_video(prepared).numpy()
    assert_allclose(answer, unit(expected), atol=TOLERANCE, rtol=0)


def test_exported_text_embeddings_are_those_of_the_published_code(text: Session) -> None:
    answer = text(input_ids=recorded("input_ids"), attention_mask=recorded("attention_mask"))
    expected = unit(recorded("text_embedding"))
    assert_allclose(answer, expected, atol=TOLERANCE, rtol=0)
    assert (answer * expected).sum(-1).min() >= 1 - 1e-6


def test_masked_tokens_have_no_influence(text: Session) -> None:
    tokens, mask = recorded("input_ids"), recorded("attention_mask")
    answer = text(input_ids=np.where(mask == 1, tokens, 77), attention_mask=mask)
    assert_allclose(answer, unit(recorded("text_embedding")), atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("row", [0, 1, 2])
def test_texts_need_no_padding(text: Session, row: int) -> None:
    length = recorded("attention_mask")[row].sum()
    tokens = recorded("input_ids")[row : row + 1, :length]
    answer = text(input_ids=tokens, attention_mask=np.ones_like(tokens))
    assert_allclose(answer[0], unit(recorded("text_embedding"))[row], atol=TOLERANCE, rtol=0)


def test_exported_similarities_are_those_of_the_published_code(
    video: Session, text: Session
) -> None:
    videos = video(
        frames=np.concatenate([FULL[None], padded_with(9)]), frame_count=np.array([8, 5])
    )
    texts = text(input_ids=recorded("input_ids"), attention_mask=recorded("attention_mask"))
    assert_allclose(texts @ videos.T, recorded("similarity"), atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize(
    ("graph", "inputs"),
    [
        (
            "video.onnx",
            {
                "frames": (onnx.TensorProto.UINT8, ["batch", "frames", 32, 32]),
                "frame_count": (onnx.TensorProto.INT64, ["batch"]),
            },
        ),
        (
            "text.onnx",
            {
                "input_ids": (onnx.TensorProto.INT64, ["batch", "tokens"]),
                "attention_mask": (onnx.TensorProto.INT64, ["batch", "tokens"]),
            },
        ),
    ],
)
def test_graphs_have_the_interface_of_the_bundle_format(
    bundle: Path, graph: str, inputs: dict[str, tuple[int, list[str | int]]]
) -> None:
    model = onnx.load(bundle / graph).graph
    assert {value.name: interface(value) for value in model.input} == inputs
    assert {value.name: interface(value) for value in model.output} == {
        "embedding": (onnx.TensorProto.FLOAT, ["batch", 24])
    }


def interface(value: onnx.ValueInfoProto) -> tuple[int, list[str | int]]:
    tensor = value.type.tensor_type
    return tensor.elem_type, [axis.dim_param or axis.dim_value for axis in tensor.shape.dim]


@pytest.mark.parametrize("graph", ["video.onnx", "text.onnx"])
def test_graphs_do_not_tell_where_they_were_made(bundle: Path, graph: str) -> None:
    content = (bundle / graph).read_bytes()
    for trace in (b".py", b"site-packages", bytes(Path.cwd())):
        assert trace not in content


def test_the_same_network_gives_the_same_bytes(
    bundle: Path, network: CmrClip, tmp_path: Path
) -> None:
    write_video_graph(network, "none", tmp_path / "video.onnx")
    write_text_graph(network, tmp_path / "text.onnx")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["text.onnx", "video.onnx"]
    for graph in ("video.onnx", "text.onnx"):
        assert (tmp_path / graph).read_bytes() == (bundle / graph).read_bytes()
