"""Turns 8-bit frames into the input of the video tower, step by step as published.

The published transforms in plain form: /255, Resize(256), CenterCrop(256), Resize(224), ImageNet
normalisation of three equal channels, zero padding. `export.graph` folds the same steps into a
graph, and every export is compared with this module.
"""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

Resize = Literal["published", "none"]

#: ImageNet's mean and deviation of the three channels, as torchvision documents them.
MEAN = (0.485, 0.456, 0.406)
DEVIATION = (0.229, 0.224, 0.225)


def normalised(frames: Tensor, frame_count: Tensor, capacity: int, resize: Resize) -> Tensor:
    """Turn uint8 frames (B, F, H, W) into the tower's video (B, `capacity`, 3, H, W).

    The first `frame_count` (B) frames of a study count; the others become zeros, which are
    neither black nor grey but what the network was trained to see as nothing.
    """
    grey = frames[:, :capacity] / 255  # (B, F, H, W)
    if resize == "published":
        grey = resampled(grey)
    mean, deviation = torch.tensor([MEAN, DEVIATION])[:, :, None, None]  # each (3, 1, 1)
    video = (grey[:, :, None] - mean) / deviation  # (B, F, 3, H, W)
    present = torch.arange(video.shape[1]) < frame_count[:, None]  # (B, F)
    video = video.where(present[:, :, None, None, None], 0.0)
    missing = capacity - video.shape[1]
    return functional.pad(video, (0, 0, 0, 0, 0, 0, 0, missing))


def resampled(grey: Tensor) -> Tensor:
    """Resize square frames (B, F, H, H) up and down again, with antialiasing; the same shape.

    CenterCrop(256) does nothing to a square of 256, so it is not here.
    """
    size = grey.shape[-1]
    return _resize(_resize(grey, enlarged(size)), size)


def enlarged(size: int) -> int:
    """Return the size in between: 256 for frames of 224, in proportion for others."""
    return round(size * 256 / 224)


def _resize(grey: Tensor, size: int) -> Tensor:
    return functional.interpolate(grey, (size, size), mode="bilinear", antialias=True)
