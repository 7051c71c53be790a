"""The two towers of the model."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Frames = NDArray[np.uint8]  #: (frames, H, W)
Embedding = NDArray[np.float32]  #: (D,), L2-normalised
Embeddings = NDArray[np.float32]  #: (n, D), each L2-normalised


class Encoder(Protocol):
    """The model's two towers."""

    execution_provider: str

    def encode_clip(self, frames: Frames) -> Embedding:
        """Return the embedding of a clip's frames, (frames, H, W)."""

    def encode_clips(self, clips: Sequence[Frames]) -> Embeddings:
        """Return what `encode_clip` gives for each of one or more clips, worked out together."""

    def encode_text(self, text: str) -> Embedding:
        """Return the embedding of a text."""
