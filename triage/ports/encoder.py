"""The encoder of clips and texts."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Frames = NDArray[np.uint8]  #: (frames, H, W)
Embedding = NDArray[np.float32]  #: (D,), L2-normalised
Embeddings = NDArray[np.float32]  #: (n, D), each L2-normalised


class Encoder(Protocol):
    """The video tower and the text tower of a model."""

    execution_provider: str

    def encode_clip(self, frames: Frames) -> Embedding:
        """Return the embedding of a clip's frames, (frames, H, W)."""

    def encode_clips(self, clips: Sequence[Frames]) -> Embeddings:
        """Return the embeddings of one or more clips, computed as a batch."""

    def encode_text(self, text: str) -> Embedding:
        """Return the embedding of a text."""
