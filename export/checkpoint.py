"""Reads a published CMR-CLIP checkpoint in either of its two forms.

    a hub folder    config.json + pytorch_model.bin: {'<name>': tensor}
    a trainer file  *.pth: {'state_dict': {'module.<name>': tensor}, ...}

The sizes are read from the tensors, because the published `config.json` has none. Only the numbers
of heads, and the frame size of a convolutional tower, cannot be seen in a tensor: they come from
`sizes.json` beside the weights; without that file every head is 64 wide, as published. Unpickling
runs no code (`weights_only`).
"""

import json
import math
import pickle
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import ConfigDict, Field
from torch import Tensor

from export.cmrclip import CmrClip, NetworkSizes, TextSizes, VideoSizes
from export.convolutional import ConvolutionalSizes
from triage.domain.errors import ConfigurationError
from triage.model.bundle import hash_file
from triage.yaml_models import StrictModel, read, read_text

HUB_WEIGHTS = "pytorch_model.bin"
HUB_CONFIG = "config.json"
SIZES = "sizes.json"
#: Width of a head of the published towers (768 / 12).
HEAD_WIDTH = 64

#: The tensors that sizes are read from, with their number of axes.
SIZED_BY = {
    "vid_proj.1.weight": 2,
    "text_model.embeddings.word_embeddings.weight": 2,
    "text_model.embeddings.position_embeddings.weight": 2,
    "text_model.embeddings.token_type_embeddings.weight": 2,
    "text_model.encoder.layer.0.intermediate.dense.weight": 2,
}

TRANSFORMER_SIZED_BY = {
    "video_model.pos_embed": 3,
    "video_model.temporal_embed": 3,
    "video_model.patch_embed.proj.weight": 4,
    "video_model.blocks.0.mlp.fc1.weight": 2,
}
#: First convolution of a stage of a view, in a convolutional tower.
STAGE = re.compile(r"video_model\.views\.(\d+)\.stages\.(\d+)\.halve\.weight")

Weights = dict[str, Tensor]
Heads = Annotated[int | None, Field(gt=0)]


class _VideoHeads(StrictModel):
    model_config = ConfigDict(frozen=True, extra="ignore")
    num_heads: Heads = None
    image: Heads = None  #: rows and columns of a frame


class _TextHeads(StrictModel):
    model_config = ConfigDict(frozen=True, extra="ignore")
    num_attention_heads: Heads = None


class HeadCounts(StrictModel):
    """The sizes in `sizes.json`; all others are read from the tensors."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    video: _VideoHeads = _VideoHeads()
    text: _TextHeads = _TextHeads()


@dataclass(frozen=True)
class Checkpoint:
    """A network with its weights, and where they come from."""

    network: CmrClip
    file: str  #: name of the file with the weights
    sha256: str  #: of that file
    epoch: int | None  #: as the trainer counted; None in the hub's form

    @property
    def provenance(self) -> dict[str, str | int | float]:
        """The origin of the weights, as the manifest records it."""
        facts = {"checkpoint": self.file, "checkpoint_sha256": self.sha256, "epoch": self.epoch}
        return {name: fact for name, fact in facts.items() if fact is not None}


def load_checkpoint(path: Path, frames: int | None = None) -> Checkpoint:
    """Load the checkpoint in the folder or file `path`.

    Temporal positions are cut or filled up with zeros to `frames`; without it to the number in
    `config.json`, and without that they stay as they are. Raises ConfigurationError.
    """
    file = weights_file(path)
    content = _load_mapping(file)
    weights = _without_leftovers(_weights_in(content, file))
    heads = file.parent / SIZES
    sizes = sizes_of(weights, read(heads, HeadCounts) if heads.is_file() else HeadCounts(), file)
    sizes, weights = _with_frames(sizes, weights, frames or _configured_frames(file.parent))
    epoch = content.get("epoch")
    return Checkpoint(
        network=_network(sizes, weights, file),
        file=file.name,
        sha256=hash_file(file),
        epoch=epoch if isinstance(epoch, int) else None,
    )


def weights_file(path: Path) -> Path:
    """Return the file with the weights: `path` itself, or the one in the folder `path`."""
    if path.is_file():
        return path
    if not path.is_dir():
        raise ConfigurationError(f"checkpoint {path} is neither a file nor a folder")
    if (path / HUB_WEIGHTS).is_file():
        return path / HUB_WEIGHTS
    trained = sorted(path.glob("*.pth"))
    if len(trained) == 1:
        return trained[0]
    found = ", ".join(file.name for file in trained) or "neither"
    raise ConfigurationError(
        f"checkpoint folder {path}: expected {HUB_WEIGHTS} or one .pth file, found {found};"
        " name the file itself"
    )


def _load_mapping(file: Path) -> Mapping[str, Any]:
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ConfigurationError(_describe_refusal(file, str(error))) from None
    except (OSError, EOFError, RuntimeError, ValueError, KeyError) as error:
        raise ConfigurationError(
            f"{file} is no torch checkpoint: {_first_line(str(error))}"
        ) from None
    if not isinstance(content, Mapping):
        raise ConfigurationError(f"{file} holds a {type(content).__name__}, not named tensors")
    return content


def _describe_refusal(file: Path, reason: str) -> str:
    """Return the error for a file that is no checkpoint, or holds more than tensors."""
    culprit = re.search(r"GLOBAL (\S+)", reason)
    if culprit is None:
        return f"{file} is no torch checkpoint: {_first_line(reason)}"
    return (
        f"{file} holds more than tensors ({culprit[1]}), and reading that could run code. If"
        " you trust it, keep only its weights: torch.save({'state_dict':"
        " torch.load(FILE, weights_only=False)['state_dict']}, NEW_FILE)"
    )


def _first_line(text: str) -> str:
    return text.strip().split("\n", 1)[0]


def _weights_in(content: Mapping[str, Any], file: Path) -> Weights:
    """Unwrap `state_dict` and the prefix of data-parallel training."""
    weights = content.get("state_dict", content)
    if not isinstance(weights, Mapping) or not weights:
        raise ConfigurationError(f"{file} holds no named tensors")
    others = [str(name) for name, value in weights.items() if not isinstance(value, Tensor)]
    if others:
        raise ConfigurationError(f"{file} is no CMR-CLIP checkpoint; no tensors: {_list(others)}")
    return {name.removeprefix("module."): value.float() for name, value in weights.items()}


def _without_leftovers(weights: Weights) -> Weights:
    """Drop the buffer that older versions of transformers saved; it only counts 0, 1, 2 ..."""
    return {k: v for k, v in weights.items() if k != "text_model.embeddings.position_ids"}


def sizes_of(weights: Weights, heads: HeadCounts, file: Path) -> NetworkSizes:
    """Read the sizes of the network from the shapes of its tensors."""
    shapes = _shapes(weights, SIZED_BY, file)
    stages = {
        (int(found[1]), int(found[2])): tuple(tensor.shape)
        for name, tensor in weights.items()
        if (found := STAGE.fullmatch(name))
    }
    vocabulary, text_width = shapes["text_model.embeddings.word_embeddings.weight"]
    layer = "text_model.encoder.layer.0"
    return NetworkSizes(
        video=_convolutional_sizes(stages, weights, heads.video, file)
        if stages
        else _transformer_sizes(weights, heads.video, file),
        text=TextSizes(
            vocabulary=vocabulary,
            width=text_width,
            depth=_count(weights, "text_model.encoder.layer."),
            heads=_heads(
                heads.text.num_attention_heads, text_width, "text.num_attention_heads", file
            ),
            hidden=shapes[f"{layer}.intermediate.dense.weight"][0],
            positions=shapes["text_model.embeddings.position_embeddings.weight"][0],
            types=shapes["text_model.embeddings.token_type_embeddings.weight"][0],
        ),
        embedding=shapes["vid_proj.1.weight"][0],
    )


def _transformer_sizes(weights: Weights, stated: _VideoHeads, file: Path) -> VideoSizes:
    shapes = _shapes(weights, TRANSFORMER_SIZED_BY, file)
    places, width = shapes["video_model.pos_embed"][1:]
    patch = shapes["video_model.patch_embed.proj.weight"][-1]
    return VideoSizes(
        image=patch * math.isqrt(places - 1),
        patch=patch,
        width=width,
        depth=_count(weights, "video_model.blocks."),
        heads=_heads(stated.num_heads, width, "video.num_heads", file),
        hidden=shapes["video_model.blocks.0.mlp.fc1.weight"][0],
        frames=shapes["video_model.temporal_embed"][1],
    )


def _convolutional_sizes(
    stages: Mapping[tuple[int, int], tuple[int, ...]],
    weights: Weights,
    stated: _VideoHeads,
    file: Path,
) -> ConvolutionalSizes:
    """Read the sizes from the kernels (after, before, 3, 3) of the stages, by view and stage."""
    if stated.image is None:
        raise ConfigurationError(
            f"{file} has a convolutional tower: give the size of its frames as video.image in"
            f" {file.parent / SIZES}"
        )
    views, depth = (1 + max(number) for number in zip(*stages, strict=True))
    return ConvolutionalSizes(
        image=stated.image,
        slots=tuple(stages[view, 0][1] for view in range(views)),
        channels=tuple(stages[0, stage][0] for stage in range(depth)),
        width=_shapes(weights, {"video_model.norm.weight": 1}, file)["video_model.norm.weight"][0],
    )


def _shapes(
    weights: Weights, sized_by: Mapping[str, int], file: Path
) -> dict[str, tuple[int, ...]]:
    shapes = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    missing = [name for name, axes in sized_by.items() if len(shapes.get(name, ())) != axes]
    if missing:
        raise ConfigurationError(f"{file} is no CMR-CLIP checkpoint; it lacks {_list(missing)}")
    return shapes


def _count(weights: Weights, prefix: str) -> int:
    """Count the numbered parts of a tower."""
    return len({name[len(prefix) :].split(".")[0] for name in weights if name.startswith(prefix)})


def _heads(named: int | None, width: int, field: str, file: Path) -> int:
    heads = named or width // HEAD_WIDTH
    if heads and width % heads == 0 and (named or width % HEAD_WIDTH == 0):
        return heads
    raise ConfigurationError(
        f"{file}: a width of {width} does not part into"
        f" {f'{named} heads' if named else f'heads of {HEAD_WIDTH}, as published'};"
        f" give {field} in {file.parent / SIZES}"
    )


def _configured_frames(folder: Path) -> int | None:
    """Return the frames that `config.json` asks for; the checkpoint may hold more or fewer."""
    if not (folder / HUB_CONFIG).is_file():
        return None
    try:
        frames = json.loads(read_text(folder / HUB_CONFIG))["video_params"]["num_frames"]
    except (ValueError, KeyError, TypeError):
        return None
    return frames if isinstance(frames, int) and frames > 0 else None


def _with_frames(
    sizes: NetworkSizes, weights: Weights, frames: int | None
) -> tuple[NetworkSizes, Weights]:
    """Cut the temporal positions to `frames`, or fill them up with zeros."""
    if frames is None:
        return sizes, weights
    if isinstance(sizes.video, ConvolutionalSizes):
        if frames == sizes.video.frames:
            return sizes, weights
        raise ConfigurationError("the frames of a convolutional tower cannot be changed")
    name = "video_model.temporal_embed"
    held = weights[name][:, :frames]  # (1, at most `frames`, C)
    filled = torch.zeros(1, frames, held.shape[-1])
    filled[:, : held.shape[1]] = held
    video = replace(sizes.video, frames=frames)
    return replace(sizes, video=video), {**weights, name: filled}


def _network(sizes: NetworkSizes, weights: Weights, file: Path) -> CmrClip:
    network = CmrClip(sizes)
    expected = {name: tensor.shape for name, tensor in network.state_dict().items()}
    problems = {
        "missing": sorted(expected.keys() - weights.keys()),
        "unexpected": sorted(weights.keys() - expected.keys()),
        "of another shape": [
            f"{name} {tuple(weights[name].shape)} instead of {tuple(shape)}"
            for name, shape in expected.items()
            if name in weights and weights[name].shape != shape
        ],
    }
    if any(problems.values()):
        details = "".join(
            f"\n  {kind}: {_list(names)}" for kind, names in problems.items() if names
        )
        raise ConfigurationError(f"{file} does not fit the CMR-CLIP network:{details}")
    network.load_state_dict(weights)
    return network.eval().requires_grad_(requires_grad=False)


def _list(names: list[str], shown: int = 20) -> str:
    rest = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + rest
