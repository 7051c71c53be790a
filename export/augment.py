"""Augments clips at random, as from another scanner, another day or a shorter protocol.

The result depends on the generator alone. All frames of a view change together, as the views of a
patient do; the zeros after the end of a clip and the black frames of a missing view stay unchanged.
Without a stated layout a clip is one cine.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from export.recipe import AugmentRecipe
from triage.model.bundle import ViewSlot

Frames = NDArray[np.uint8]  #: (B, F, H, W)
WHITE = 255
KNOTS = 4  #: in each direction, of the field of a coil
BENDS = 6  #: knots in each direction, of a warp
CIRCLE = (0.55, 0.95)  #: radius within which a view has no clutter, of half a side
FADE = 0.15  #: width of the circle's edge, of half a side
GRAIN = 3  #: pixels between the knots of a tissue's texture
FEWEST_MIXED = 3  #: frames of a view that has one between two others


def augment(
    frames: Frames, how: AugmentRecipe, rng: Generator, slots: Sequence[ViewSlot] = ()
) -> Frames:
    """Return clips (B, F, H, W) that differ from `frames` at random.

    `slots` have a stated length each; without them a clip is one cine, and no view is left out.
    """
    slots = slots or (ViewSlot(view="whole clip", kind="cine", phases=frames.shape[1]),)
    ends = np.cumsum([slot.length for slot in slots])[:-1]
    changed = np.empty_like(frames)
    for place, whole in enumerate(frames):
        clip = _without_views(whole, ends, how.drop_views, rng)
        views = zip(np.split(clip, ends), slots, strict=True)
        changed[place] = np.concatenate(
            [_change_view(view, how, rng, beats=slot.kind == "cine") for view, slot in views]
        )
    return changed


def _without_views(clip: Frames, ends: NDArray[np.int64], share: float, rng: Generator) -> Frames:
    """Return a clip (F, H, W) in which each view is black with a probability, but never all.

    `ends` are the ends of all views but the last one.
    """
    if not share:
        return clip
    parts = np.split(np.arange(len(clip)), ends)
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


def _change_view(view: Frames, how: AugmentRecipe, rng: Generator, *, beats: bool) -> Frames:
    """Return the frames of a view (n, H, W) as from another scanner and position."""
    present = torch.from_numpy(view.any((1, 2)))[:, None, None]
    if not present.any():
        return view
    grey = torch.from_numpy(view.astype(np.float32))
    changed = _place(_change_beat(grey, how, rng) if beats else grey, how, rng)
    if how.curve:
        changed = WHITE * (changed / WHITE) ** math.exp(rng.uniform(-how.curve, how.curve))
    if how.shading:
        changed = changed * (1 + how.shading * _smooth_field(changed.shape[1:], KNOTS, rng))
    if how.texture:
        knots = changed.shape[-1] // GRAIN
        strength = rng.uniform(0, how.texture)
        changed = changed * (1 + strength * _smooth_field(changed.shape[1:], knots, rng))
    if how.surroundings:
        changed = _clutter(changed, how.surroundings, rng)
    gain = 1 + rng.uniform(-how.contrast, how.contrast)
    noise = torch.Generator().manual_seed(int(rng.integers(2**31)))
    deviation = WHITE * rng.uniform(0, how.noise)
    noisy = changed * gain + deviation * torch.randn(changed.shape, generator=noise)
    return (noisy * present).round().clamp(0, WHITE).byte().numpy()


def _change_beat(view: Tensor, how: AugmentRecipe, rng: Generator) -> Tensor:
    """Return a cine (n, H, W) as of another heart beat."""
    paced = _pace(view, how.pace, rng)
    if how.two_phases and rng.random() < how.two_phases:
        return _mix_two_phases(paced, rng)
    return paced


def _pace(view: Tensor, share: float, rng: Generator) -> Tensor:
    """Return a view (n, H, W) whose phases come earlier or later, except the first.

    Images between two phases are mixed from both, as the worker does.
    """
    if not share or len(view) == 1:
        return view
    count = len(view)
    times = torch.arange(count) / count  # of the cycle
    late = rng.uniform(-share, share)
    at = (times + late * torch.sin(math.pi * times) ** 2) % 1 * count
    before = at.floor().long() % count
    weight = (at - at.floor())[:, None, None]
    return view[before] * (1 - weight) + view[(before + 1) % count] * weight


def _mix_two_phases(view: Tensor, rng: Generator) -> Tensor:
    """Return a view (n, H, W) whose frames mix the first with the one that differs most from it."""
    count = len(view)
    if count < FEWEST_MIXED:
        return view
    end = int((view - view[0]).square().sum((1, 2)).argmax())
    if not end:
        return view
    rise, fall = torch.arange(end) / end, torch.arange(count - end) / (count - end)
    share = torch.cat([rise ** rng.uniform(0.5, 2), 1 - fall ** rng.uniform(0.5, 2)])[:, None, None]
    return view[0] * (1 - share) + view[end] * share


def _place(view: Tensor, how: AugmentRecipe, rng: Generator) -> Tensor:
    """Shift, turn, stretch and bend a view (n, H, W); its edge is repeated beyond it."""
    down, right = 2 * rng.uniform(-how.shift, how.shift, 2)  # a frame is 2 wide
    turn = math.radians(rng.uniform(-how.turn, how.turn))
    size = math.exp(rng.uniform(-how.stretch, how.stretch))
    if not (down or right or turn or how.warp) and size == 1:
        return view
    cos, sin = math.cos(turn) / size, math.sin(turn) / size
    matrix = torch.tensor([[[cos, -sin, -right], [sin, cos, -down]]], dtype=view.dtype)
    grid = functional.affine_grid(matrix, [1, 1, *view.shape[1:]], align_corners=False)
    if how.warp:
        bends = [_smooth_field(view.shape[1:], BENDS, rng) for _ in range(2)]
        grid = grid + 2 * rng.uniform(0, how.warp) * torch.stack(bends, dim=-1)
    return functional.grid_sample(view[None], grid, padding_mode="border", align_corners=False)[0]


def _clutter(view: Tensor, share: float, rng: Generator) -> Tensor:
    """Mix clutter into a view (n, H, W) beyond a circle about its middle, the same in all frames.

    A drawn chest is plainer than a real one, and what lies around a heart is no sign of anything.
    """
    height, width = view.shape[1:]
    rows, columns = torch.linspace(-1, 1, height)[:, None], torch.linspace(-1, 1, width)
    distance = (rows**2 + columns**2).sqrt()
    beyond = ((distance - rng.uniform(*CIRCLE)) / FADE).clamp(0, 1) * rng.uniform(0, share)
    fields = [_smooth_field(view.shape[1:], knots, rng) for knots in (4, 8, 16)]
    organs = (0.5 + sum(fields[1:], fields[0])).clamp(0, 1) * WHITE
    return view + beyond * (organs - view)


def _smooth_field(shape: Sequence[int], knots: int, rng: Generator) -> Tensor:
    """Return a smooth random field (H, W) between -1 and 1."""
    coarse = torch.from_numpy(rng.uniform(-1, 1, (1, 1, knots, knots))).float()
    smooth = functional.interpolate(coarse, [*shape], mode="bicubic", align_corners=True)[0, 0]
    return smooth.clamp(-1, 1)
