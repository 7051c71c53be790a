"""The two ONNX graphs of a bundle, from raw input to unit-length embedding.

    video.onnx  frames uint8 (B, F, H, W), frame_count int64 (B) -> embedding float32 (B, D)
    text.onnx   input_ids, attention_mask int64 (B, L)           -> embedding float32 (B, D)

The preprocessing is part of the graphs, so the worker cannot do it differently. B and L are free,
and F is free up to the frames of the checkpoint; frames from `frame_count` on have no influence.
The same network gives the same bytes.
"""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnx_ir
import torch
from onnx_ir.passes.common import ClearMetadataAndDocStringPass, NameFixPass
from torch import Tensor, nn
from torch.export import Dim
from torch.nn import functional

from export.cmrclip import CmrClip, PatchEmbedding, VideoTower, as_tokens
from export.frames import DEVIATION, MEAN, Resize, resampled

#: LayerNormalization came with 17, Gelu with 20; every supported ONNX Runtime knows both.
OPSET = 20


def folded(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Fold the normalisation of three equal channels into a patch kernel (C, 3, p, p).

    Returns what to convolve 8-bit grey frames with, (C, 1, p, p), and what to add, (C).
    """
    mean, deviation = torch.tensor([MEAN, DEVIATION], dtype=weight.dtype)[:, :, None, None]
    scaled = weight / deviation  # (C, 3, p, p)
    return scaled.sum(1, keepdim=True) / 255, -(scaled * mean).sum((1, 2, 3))


def biased(patches: Tensor, present: Tensor, bias: Tensor) -> Tensor:
    """Turn convolved frames (B * F, C, rows, columns) into tokens (B, F, N, C) with their bias.

    Frames that are not `present` (B, F) are zeros after normalisation: only the bias remains.
    """
    return as_tokens(patches, present.shape[1]) * present[:, :, None, None] + bias


class GreyFrames(nn.Module):
    """8-bit frames to floats, resized up and down again where the network was trained so."""

    resampling: Tensor | None

    def __init__(self, image: int, resize: Resize) -> None:
        super().__init__()
        self.register_buffer("resampling", resampling(image) if resize == "published" else None)

    def forward(self, frames: Tensor) -> Tensor:
        """Convert frames (..., H, W)."""
        grey = frames.float()
        if self.resampling is not None:
            for _ in ("columns", "rows"):
                grey = (grey @ self.resampling).mT
        return grey


class FoldedPatches(nn.Module):
    """8-bit grey frames to embedded patches: the published transforms and the patch convolution.

    All of it is linear up to a constant, so it folds: the resizes into one matrix that is applied
    to columns and rows, /255 and the normalisation of three equal channels into the kernel.
    """

    kernel: Tensor
    offset: Tensor

    def __init__(self, patches: PatchEmbedding, image: int, resize: Resize) -> None:
        super().__init__()
        kernel, offset = folded(patches.proj.weight.detach().double())
        self.register_buffer("kernel", kernel.float())
        self.register_buffer("offset", offset.float())
        self.bias = patches.proj.get_parameter("bias")
        self.stride = patches.proj.stride
        self.grey = GreyFrames(image, resize)

    def forward(self, frames: Tensor, present: Tensor) -> Tensor:
        """Embed frames (B, F, H, W) as (B, F, N, C); those not `present` (B, F) count as zeros."""
        grey = self.grey(frames.flatten(0, 1))  # (B * F, H, W)
        patches = functional.conv2d(
            grey[:, None], self.kernel, self.offset, self.stride
        )  # (B * F, C, rows, columns)
        return biased(patches, present, self.bias)


class NormalisedGrey(nn.Module):
    """8-bit grey frames to what a convolutional tower takes: the first of three equal channels."""

    def __init__(self, image: int, resize: Resize) -> None:
        super().__init__()
        self.grey = GreyFrames(image, resize)

    def forward(self, frames: Tensor, present: Tensor) -> Tensor:
        """Normalise frames (B, F, H, W); those not `present` (B, F) become zeros."""
        return normalise_grey(self.grey(frames), present)


def normalise_grey(grey: Tensor, present: Tensor) -> Tensor:
    """Normalise frames (B, F, H, W) of 0 to 255; those not `present` (B, F) become zeros."""
    return (grey / 255 - MEAN[0]) / DEVIATION[0] * present[:, :, None, None]


def resampling(size: int) -> Tensor:
    """Return the published resizes as a matrix (size, size) for rows of pixels: `row @ matrix`.

    Resizing keeps columns constant, so any column of a frame that is 1 in row i alone shows the
    response to pixel i.
    """
    unit = torch.eye(size)[None, :, :, None].expand(-1, -1, -1, size)  # (1, pixel, rows, columns)
    return resampled(unit)[0, :, :, 0].contiguous()


class VideoGraph(nn.Module):
    """The computation of video.onnx."""

    def __init__(self, network: CmrClip, resize: Resize) -> None:
        super().__init__()
        image, tower = network.sizes.video.image, network.video_model
        self.network = network
        self.stem = (
            FoldedPatches(tower.patch_embed, image, resize)
            if isinstance(tower, VideoTower)
            else NormalisedGrey(image, resize)
        )

    def forward(self, frames: Tensor, frame_count: Tensor) -> Tensor:
        """Embed frames uint8 (B, F, H, W), of which `frame_count` (B) count; (B, D)."""
        capacity = self.network.sizes.video.frames
        present = torch.arange(capacity) < frame_count.clamp(max=frames.shape[1])[:, None]
        padding = frames.new_zeros(frames.shape[0], capacity, *frames.shape[2:])
        # Append a whole clip of zeros and cut: no size has to be subtracted from another.
        padded = torch.cat([frames, padding], dim=1)[:, :capacity]  # (B, capacity, H, W)
        feature = self.network.video_model.encode(self.stem(padded, present))
        return functional.normalize(self.network.project_video(feature), dim=-1)


class TextGraph(nn.Module):
    """The computation of text.onnx."""

    def __init__(self, network: CmrClip) -> None:
        super().__init__()
        self.network = network

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Embed tokens (B, L); (B, D)."""
        return functional.normalize(self.network.embed_text(input_ids, attention_mask), dim=-1)


def write_video_graph(network: CmrClip, resize: Resize, path: Path) -> None:
    """Write video.onnx of `network` to `path`."""
    image = network.sizes.video.image
    frames = torch.zeros(2, 2, image, image, dtype=torch.uint8)
    _write(
        VideoGraph(network, resize),
        {"frames": frames, "frame_count": torch.tensor([2, 1])},
        {"frames": {0: "batch", 1: "frames"}, "frame_count": {0: Dim.AUTO}},
        path,
    )


def write_text_graph(network: CmrClip, path: Path) -> None:
    """Write text.onnx of `network` to `path`."""
    tokens = torch.ones(2, 3, dtype=torch.int64)
    _write(
        TextGraph(network),
        {"input_ids": tokens, "attention_mask": tokens.clone()},  # one tensor would be one input
        {"input_ids": {0: "batch", 1: "tokens"}, "attention_mask": {0: Dim.AUTO, 1: Dim.AUTO}},
        path,
    )


def _write(
    module: nn.Module, example: dict[str, Tensor], sizes: dict[str, dict[int, Any]], path: Path
) -> None:
    with _quiet_export():
        program = torch.onnx.export(
            module.eval(),
            kwargs=example,
            input_names=list(example),
            output_names=["embedding"],
            dynamic_shapes=sizes,
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None  # noqa: S101 - with dynamo=True; the legacy exporter returns None
    # Every node carries the stack that made it, and with it the folders of this machine.
    ClearMetadataAndDocStringPass()(program.model)
    NameFixPass()(program.model)  # torch calls the rows of an embedding table "embedding" too
    onnx_ir.save(program.model, path)


@contextmanager
def _quiet_export() -> Iterator[None]:
    """Silence messages of the exporter that concern its own developers."""
    registration = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = registration.level
    registration.setLevel(logging.ERROR)  # "torchvision is not installed", which we do not use
    with warnings.catch_warnings():
        # torch copies a structure of its own that its own next version deprecates.
        warnings.filterwarnings("ignore", "`isinstance\\(treespec, LeafSpec\\)`", FutureWarning)
        try:
            yield
        finally:
            registration.setLevel(level)
