"""Augments clips at random, as from another scanner, another day or a shorter protocol.

The result depends on the generator alone. All frames of a clip move together, as one patient does;
the zeros after the end of a clip and the black frames of a missing view stay unchanged.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from torch.nn import functional

from export.recipe import AugmentRecipe

Frames = NDArray[np.uint8]  #: (B, F, H, W)
WHITE = 255
KNOTS = 4  #: in each direction, of a smooth field


def augment(
    frames: Frames, how: AugmentRecipe, rng: Generator, slots: Sequence[int] = ()
) -> Frames:
    """Return clips (B, F, H, W) that differ from `frames` at random.

    `slots` are the frames of each view, in the order of the clip; without them no view is left out.
    """
    changed = np.empty_like(frames)
    for place, whole in enumerate(frames):
        clip = _without_views(whole, slots, how.drop_views, rng)
        reach = int(how.shift * clip.shape[-1])
        down, right = rng.integers(-reach, reach + 1, 2)
        moved = torch.from_numpy(_moved(clip, int(down), int(right))).float()
        if how.curve:
            power = math.exp(rng.uniform(-how.curve, how.curve))
            moved = WHITE * (moved / WHITE) ** power
        if how.shading:
            moved = moved * (1 + how.shading * _smooth_field(clip.shape[-2:], rng))
        gain = 1 + rng.uniform(-how.contrast, how.contrast)
        noise = torch.Generator().manual_seed(int(rng.integers(2**31)))
        deviation = WHITE * rng.uniform(0, how.noise)
        noisy = moved * gain + deviation * torch.randn(moved.shape, generator=noise)
        present = torch.from_numpy(clip.any((1, 2)))[:, None, None]
        changed[place] = (noisy * present).round().clamp(0, WHITE).byte().numpy()
    return changed


def _without_views(clip: Frames, slots: Sequence[int], share: float, rng: Generator) -> Frames:
    """Return a clip (F, H, W) in which each view is black with a probability, but never all."""
    if not share or not slots:
        return clip
    parts = np.split(np.arange(len(clip)), np.cumsum(slots)[:-1])
    shown = [part for part in parts if clip[part].any()]
    dropped = rng.random(len(shown)) < share
    if not dropped.any() or not shown:
        return clip
    dropped[rng.integers(len(shown))] = False
    kept = clip.copy()
    for part, is_dropped in zip(shown, dropped, strict=True):
        if is_dropped:
            kept[part] = 0
    return kept


def _smooth_field(shape: tuple[int, ...], rng: Generator) -> torch.Tensor:
    """Return a smooth random field (H, W) between -1 and 1."""
    coarse = torch.from_numpy(rng.uniform(-1, 1, (1, 1, KNOTS, KNOTS))).float()
    smooth = functional.interpolate(coarse, shape, mode="bicubic", align_corners=True)[0, 0]
    return smooth.clamp(-1, 1)


def _moved(clip: Frames, down: int, right: int) -> Frames:
    """Shift a clip (F, H, W) by whole pixels; the edge is repeated where pixels are missing."""
    rows = np.clip(np.arange(clip.shape[1]) - down, 0, clip.shape[1] - 1)
    columns = np.clip(np.arange(clip.shape[2]) - right, 0, clip.shape[2] - 1)
    return clip[:, rows[:, None], columns[None, :]]
