"""Batches of texts and frames through the torch network, as training and its watch need them.

Rule: `embed_texts` pads by itself, so its tokenizer must have padding enabled.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor

from export.cmrclip import CmrClip
from export.frames import Resize, normalised


def embed_texts(network: CmrClip, tokenizer: Tokenizer, texts: list[str]) -> Tensor:
    """Embed texts, (B, D)."""
    encoded = tokenizer.encode_batch(texts)
    ids = torch.tensor([each.ids for each in encoded])  # (B, L)
    mask = torch.tensor([each.attention_mask for each in encoded])  # (B, L)
    return network.embed_text(ids, mask)


def embed_frames(
    network: CmrClip, frames: NDArray[np.uint8], counts: NDArray[np.int64], resize: Resize
) -> Tensor:
    """Embed clips (B, F, H, W) of which the first `counts` (B) frames count, (B, D)."""
    capacity = network.sizes.video.frames
    video = normalised(torch.from_numpy(frames), torch.from_numpy(counts), capacity, resize)
    return network.embed_video(video)
