"""Writes a bundle: the graphs, the tokenizer and the manifest with their digests.

A bundle appears whole or not at all. It is written into a temporary folder beside the target, read
back by the worker's own code, compared with the torch network on random input, and then renamed.
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from tokenizers import Tokenizer
from torch.nn import functional

from export.cmrclip import AnyVideoSizes, CmrClip
from export.frames import Resize, normalised
from export.graph import OPSET, write_text_graph, write_video_graph
from triage.domain.errors import ConfigurationError
from triage.model.bundle import (
    MANIFEST,
    TEXT,
    TOKENIZER,
    VIDEO,
    ClipForm,
    Manifest,
    Preprocessing,
    Sizes,
    hash_file,
    open_bundle,
    write_manifest,
)
from triage.model.encoder import OnnxEncoder

#: Below this cosine between torch and ONNX Runtime an export is wrong, not rounded.
AGREEMENT = 1 - 1e-5
#: The sentence that the text tower is checked with; every vocabulary has tokens for it.
SENTENCE = "There is left ventricular hypertrophy with patchy late gadolinium enhancement."

Say = Callable[[str], None]  #: takes one line about the progress


@dataclass(frozen=True)
class Label:
    """The description of a model in its manifest, beyond its files."""

    name: str
    version: str
    trained: bool
    intended_use: str
    provenance: dict[str, str | int | float]
    synthetic_only: bool = False  #: the intended use excludes patients


@dataclass(frozen=True)
class BundleModel:
    """A network and what else a bundle is made from."""

    network: CmrClip
    tokenizer: Tokenizer
    form: ClipForm  #: what decides the frames; its `resize` is inside the video graph
    label: Label


def write_bundle(model: BundleModel, out: Path, *, force: bool, say: Say) -> None:
    """Write `model` as a bundle to the folder `out`; `force` replaces the bundle that is there.

    Raises ConfigurationError where `out` is taken, or the bundle does not agree with the network.
    """
    with _atomic_folder(out, force=force) as draft:
        say(f"writing {VIDEO}")
        write_video_graph(model.network, model.form.preprocessing.resize, draft / VIDEO)
        say(f"writing {TEXT}")
        write_text_graph(model.network, draft / TEXT)
        model.tokenizer.save(str(draft / TOKENIZER))
        write_manifest(draft, _manifest(model, draft))
        say("comparing torch and ONNX Runtime on random frames and a sentence")
        video, text = agreement(model, draft)
        say(f"cosine of video embeddings {video:.7f}, of text embeddings {text:.7f}")
        if not (video >= AGREEMENT and text >= AGREEMENT):  # NaN is no agreement either
            raise ConfigurationError(
                f"the exported graphs do not agree with the checkpoint: a cosine below {AGREEMENT}"
                " or none at all; are all its weights finite?"
            )
    say(f"wrote bundle {out}")


def published_form(sizes: AnyVideoSizes, resize: Resize = "published") -> ClipForm:
    """Return the published clip in the sizes of a network."""
    return ClipForm(
        frames=sizes.frames,
        height=sizes.image,
        width=sizes.image,
        preprocessing=Preprocessing(resize=resize),
    )


def agreement(model: BundleModel, folder: Path) -> tuple[float, float]:
    """Return the cosines between the network's embeddings and those of the bundle in `folder`.

    The network takes the frames through the published transforms step by step, the bundle through
    its folded graph: one frame short of a full clip, so that the padding takes part.
    """
    encoder = OnnxEncoder(open_bundle(folder), "cpu")
    sizes = model.network.sizes.video
    count = max(1, sizes.frames - 1)
    shape = (count, sizes.image, sizes.image)
    frames = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    with torch.inference_mode():
        resize = model.form.preprocessing.resize
        video = normalised(
            torch.from_numpy(frames)[None], torch.tensor([count]), sizes.frames, resize
        )
        tokens = model.tokenizer.encode(SENTENCE)
        of_video = model.network.embed_video(video)[0]
        of_text = model.network.embed_text(
            torch.tensor([tokens.ids]), torch.tensor([tokens.attention_mask])
        )[0]
    return (
        _cosine(of_video, encoder.encode_clip(frames)),
        _cosine(of_text, encoder.encode_text(SENTENCE)),
    )


def _cosine(ours: torch.Tensor, theirs: NDArray[np.float32]) -> float:
    return float(functional.cosine_similarity(ours, torch.from_numpy(theirs), dim=0))


def _manifest(model: BundleModel, folder: Path) -> Manifest:
    video, label = model.network.sizes.video, model.label
    sizes = Sizes(
        frames=video.frames,
        height=video.image,
        width=video.image,
        embedding=model.network.sizes.embedding,
        text_tokens=model.network.sizes.text.positions,
    )
    try:
        return Manifest(
            name=label.name,
            version=label.version,
            trained=label.trained,
            intended_use=label.intended_use,
            synthetic_only=label.synthetic_only,
            provenance={**label.provenance, "torch": str(torch.__version__), "opset": OPSET},
            sizes=sizes,
            layout=model.form.layout,
            preprocessing=model.form.preprocessing,
            files={name: hash_file(folder / name) for name in (VIDEO, TEXT, TOKENIZER)},
        )
    except ValidationError as error:
        raise ConfigurationError(f"the manifest cannot be written: {error}") from None


@contextmanager
def _atomic_folder(out: Path, *, force: bool) -> Iterator[Path]:
    """Yield an empty folder that replaces `out` when the block succeeds."""
    _refuse_taken(out, force=force)
    draft, former = (out.with_name(f".{out.name}.{uuid4().hex}") for _ in range(2))
    draft.mkdir(parents=True)
    try:
        yield draft
        if out.exists():
            out.rename(former)
        draft.rename(out)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
        shutil.rmtree(former, ignore_errors=True)


def _refuse_taken(out: Path, *, force: bool) -> None:
    if out.exists() and not out.is_dir():
        raise ConfigurationError(f"{out} is a file; name a folder for the bundle")
    if not out.is_dir() or not any(out.iterdir()):
        return
    if not force:
        raise ConfigurationError(f"{out} is not empty; name a new folder, or replace it by --force")
    if not (out / MANIFEST).is_file():
        raise ConfigurationError(f"{out} holds no bundle, and --force replaces nothing else")
