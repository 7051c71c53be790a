"""Embeds batches of texts and frames with the torch network, for training and validation.

Frames are normalised as in the exported graph, folded into the patch kernel: equal up to rounding
and a third of the work. `export.frames` is the plain form that both are checked against.
`embed_texts` needs a tokenizer that pads.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional

from export.cmrclip import CmrClip
from export.convolutional import ConvolutionalTower
from export.frames import Resize, resampled
from export.graph import biased, folded, normalise_grey

TEXTS = 48  #: texts at once


def embed_texts(network: CmrClip, tokenizer: Tokenizer, texts: list[str]) -> Tensor:
    """Embed texts, (B, D); those of like length together, because padding costs as much as text."""
    order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
    parts = [order[at : at + TEXTS] for at in range(0, len(order), TEXTS)]
    embedded = [_embed(network, tokenizer, [texts[place] for place in part]) for part in parts]
    return torch.cat(embedded)[torch.tensor(order).argsort()]


def _embed(network: CmrClip, tokenizer: Tokenizer, texts: list[str]) -> Tensor:
    encoded = tokenizer.encode_batch(texts)
    ids = torch.tensor([text.ids for text in encoded])  # (B, L)
    mask = torch.tensor([text.attention_mask for text in encoded])  # (B, L)
    return network.embed_text(ids, mask)


def embed_frames(
    network: CmrClip, frames: NDArray[np.uint8], counts: NDArray[np.int64], resize: Resize
) -> Tensor:
    """Embed clips (B, F, H, W) of which the first `counts` (B) frames count, (B, D)."""
    grey, present = _normalisable(network, frames, counts, resize)
    tower = network.video_model
    if isinstance(tower, ConvolutionalTower):
        return network.project_video(tower.encode(normalise_grey(grey, present)))
    patches = tower.patch_embed.proj
    kernel, offset = folded(patches.weight)
    embedded = functional.conv2d(grey.flatten(0, 1)[:, None], kernel, offset, patches.stride)
    tokens = biased(embedded, present, patches.get_parameter("bias"))
    return network.project_video(tower.encode(tokens))


def embed_views(
    network: CmrClip, frames: NDArray[np.uint8], counts: NDArray[np.int64], resize: Resize
) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
    """Embed clips (B, F, H, W) as `embed_frames` does, (B, D), and by each of their views alone.

    Each view comes as the places (b) of the clips that show it, and their embeddings (b, D). Only
    a convolutional network has views.
    """
    tower = network.video_model
    if not isinstance(tower, ConvolutionalTower):
        raise TypeError("only a convolutional network embeds views alone")
    features, shown = tower.encode_views(
        normalise_grey(*_normalisable(network, frames, counts, resize))
    )
    alone = []
    for view in range(shown.shape[1]):
        places = shown[:, view].nonzero()[:, 0]
        feature = tower.combine(features[places, view : view + 1], shown[places, view : view + 1])
        alone.append((places, network.project_video(feature)))
    return network.project_video(tower.combine(features, shown)), alone


def _normalisable(
    network: CmrClip, frames: NDArray[np.uint8], counts: NDArray[np.int64], resize: Resize
) -> tuple[Tensor, Tensor]:
    """Return grey frames (B, F, H, W) of the network's number, and which of them count (B, F)."""
    capacity = network.sizes.video.frames
    grey = torch.from_numpy(frames).float()
    if resize == "published":
        grey = resampled(grey)
    grey = functional.pad(grey, (0, 0, 0, 0, 0, capacity - grey.shape[1]))
    return grey, torch.arange(capacity) < torch.from_numpy(counts)[:, None]
