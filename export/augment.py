"""Augments clips: random shift, contrast and noise, as from another scanner or another day.

The result depends on the generator alone. All frames of a clip move together, as one patient does;
the zeros after the end of a clip and the black frames of a missing view stay unchanged.
"""

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray

from export.recipe import AugmentRecipe

Frames = NDArray[np.uint8]  #: (B, F, H, W)
WHITE = 255


def augment(frames: Frames, how: AugmentRecipe, rng: Generator) -> Frames:
    """Return clips (B, F, H, W) that differ from `frames` at random."""
    changed = np.empty_like(frames)
    for place, clip in enumerate(frames):
        reach = int(how.shift * clip.shape[-1])
        down, right = rng.integers(-reach, reach + 1, 2)
        moved = torch.from_numpy(_moved(clip, int(down), int(right))).float()
        gain = 1 + rng.uniform(-how.contrast, how.contrast)
        noise = torch.Generator().manual_seed(int(rng.integers(2**31)))
        deviation = WHITE * rng.uniform(0, how.noise)
        noisy = moved * gain + deviation * torch.randn(moved.shape, generator=noise)
        present = torch.from_numpy(clip.any((1, 2)))[:, None, None]
        changed[place] = (noisy * present).round().clamp(0, WHITE).byte().numpy()
    return changed


def _moved(clip: Frames, down: int, right: int) -> Frames:
    """Shift a clip (F, H, W) by whole pixels; the edge is repeated where pixels are missing."""
    rows = np.clip(np.arange(clip.shape[1]) - down, 0, clip.shape[1] - 1)
    columns = np.clip(np.arange(clip.shape[2]) - right, 0, clip.shape[2] - 1)
    return clip[:, rows[:, None], columns[None, :]]
