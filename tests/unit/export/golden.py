"""The recorded answers of the published code; see tests/golden/cmrclip_tiny/README.md."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

GOLDEN = Path(__file__).parents[2] / "golden" / "cmrclip_tiny"
HUB_FORM = GOLDEN  # the folder: config.json + pytorch_model.bin
TRAINER_FORM = GOLDEN / "training_checkpoint.pth"
#: The most that an answer may differ from the recorded one.
TOLERANCE = 1e-5


def recorded(name: str) -> NDArray[Any]:
    with np.load(GOLDEN / "golden.npz") as answers:
        return np.asarray(answers[name])


def recorded_tensor(name: str) -> Tensor:
    return torch.from_numpy(recorded(name))


def unit(embedding: NDArray[Any]) -> NDArray[np.float32]:
    return np.asarray(embedding / np.linalg.norm(embedding, axis=-1, keepdims=True), np.float32)


def video_of(name: str) -> Tensor:
    """The recorded frames as the published code took them, (1, 8, 3, 32, 32)."""
    grey = recorded_tensor(name) / 255  # (F, H, W)
    mean = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
    deviation = torch.tensor([0.229, 0.224, 0.225])[:, None, None]
    video = torch.zeros(1, 8, 3, 32, 32)
    video[0, : len(grey)] = (grey[:, None] - mean) / deviation
    return video
