"""From the chosen images to the 8-bit frames that the bundle's video graph takes.

The bundle's manifest states the preprocessing. Intensities are rescaled. A square in millimetres is
cut: the largest centred one (preprocessing version 1), or one of a stated side around the heart
(version 2). It is resampled bilinearly to the graph's size. All frames of a view share one window
between two percentiles, so that brightness does not flicker. The phases of a cine are resampled
over one cardiac cycle (cyclic, linear). Views follow in the order of the layout; if there are more
frames than the model takes, the frames at uniform centres are kept (published method).

The heart is located where the planes of the views meet. That needs no pixels, and technologists
plan those planes through the heart.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Raster

from triage.imaging.geometry import (
    Plane,
    Vector,
    meeting_point,
    read_centre,
    read_plane,
    read_spacing,
)
from triage.imaging.pixels import Pixels, read_pixels
from triage.imaging.series import ChosenView
from triage.model.bundle import ClipForm, ViewSlot
from triage.ports.encoder import Frames


class PlacedImage(NamedTuple):
    """Decoded pixels with their geometry."""

    pixels: Pixels  #: (rows, columns)
    spacing_mm: tuple[float, float]  #: of rows, of columns
    plane: Plane | None  #: None if the header states no position


class FrameSource(NamedTuple):
    """The image that a frame of the clip comes from."""

    view: str
    image: int  #: index among the images of the view


def find_heart_centre(used: Sequence[ChosenView]) -> Vector | None:
    """Return where the planes of the chosen views meet, mm; None if none has a position."""
    headers = [chosen.images[len(chosen.images) // 2].header for chosen in used]
    placed = [(header, read_plane(header)) for header in headers]
    return meeting_point(
        [(plane, read_centre(header, plane)) for header, plane in placed if plane is not None]
    )


def prepare_view(
    chosen: ChosenView, form: ClipForm, heart: Vector | None, read: Callable[[str], bytes]
) -> Frames:
    """Return the 8-bit frames of one view, (images, H, W).

    Raises:
        DamagedInstance: An image cannot be decoded.
    """
    decoded = read_pixels(chosen.images, read)
    placed = [
        PlacedImage(pixels, read_spacing(image.header), read_plane(image.header))
        for image, pixels in zip(chosen.images, decoded, strict=True)
    ]
    return prepare_frames(placed, form, heart)


def prepare_frames(placed: Sequence[PlacedImage], form: ClipForm, heart: Vector | None) -> Frames:
    """Cut, resample and window the images of one view; return (images, H, W)."""
    stack = np.stack([_cut_square(image, form, heart) for image in placed])
    middle = _middle(stack, form.preprocessing.window_share)
    low, high = np.percentile(middle, form.preprocessing.window_percentiles)
    scaled = (stack - low) / max(float(high - low), 1e-6)
    return _to_grey(scaled * 255)


def join_views(views: Mapping[str, Frames], form: ClipForm) -> Frames:
    """Return the clip of all present views, (frames <= F, H, W); `views` is not empty."""
    frames = np.concatenate([_fill(slot, views, form) for slot in form.layout])
    return frames[uniform_centres(len(frames), form.frames)]


def trace_frames(images: Mapping[str, int], form: ClipForm) -> list[FrameSource | None]:
    """Return the source of each frame of `join_views`, from the number of images of each view.

    A black frame has the source None. A frame interpolated from two phases has the nearer one.
    """
    sources: list[FrameSource | None] = []
    for slot in form.layout:
        if slot.view in images:
            sources += [FrameSource(slot.view, int(i)) for i in _image_indices(slot, images)]
        else:
            sources += [None] * _black_frames(slot, form)
    return [sources[kept] for kept in uniform_centres(len(sources), form.frames)]


def uniform_centres(count: int, at_most: int) -> NDArray[np.int64]:
    """Return indices at the centres of `at_most` equal segments (published method)."""
    edges = np.linspace(0, count, min(at_most, count) + 1).astype(np.int64)
    centres: NDArray[np.int64] = (edges[:-1] + edges[1:] - 1) // 2
    return centres


def spread_indices(count: int, wanted: int) -> NDArray[np.int64]:
    """Return `wanted` indices of `count` frames at segment centres; a few frames repeat."""
    indices: NDArray[np.int64] = ((np.arange(wanted) + 0.5) * count / wanted).astype(np.int64)
    return indices


def resample_cycle(frames: Frames, phases: int) -> Frames:
    """Resample frames over one cyclic heartbeat: (n, H, W) to (phases, H, W)."""
    at = np.arange(phases) * len(frames) / phases
    before = np.floor(at).astype(int)
    weight = (at - before)[:, None, None]
    after = (before + 1) % len(frames)
    mixed = frames[before] * (1 - weight) + frames[after] * weight
    return _to_grey(mixed)


def _middle(stack: NDArray[np.float32], share: float) -> NDArray[np.float32]:
    """Return the middle of each image (n, H, W), with this share of its rows and columns."""
    rows, columns = (
        min(round(size * (1 - share) / 2), (size - 1) // 2) for size in stack.shape[1:]
    )
    return stack[:, rows : stack.shape[1] - rows, columns : stack.shape[2] - columns]


def _to_grey(values: NDArray[np.floating[Any]]) -> Frames:
    grey: Frames = np.round(np.clip(values, 0, 255)).astype(np.uint8)
    return grey


def _fill(slot: ViewSlot, views: Mapping[str, Frames], form: ClipForm) -> Frames:
    if slot.view not in views:
        return np.zeros((_black_frames(slot, form), form.height, form.width), np.uint8)
    frames = views[slot.view]
    if slot.phases is not None:
        return resample_cycle(frames, slot.phases)
    return frames[_image_indices(slot, {view: len(images) for view, images in views.items()})]


def _black_frames(slot: ViewSlot, form: ClipForm) -> int:
    """Return the number of black frames that replace a missing view."""
    return slot.length or 0 if form.preprocessing.missing == "black" else 0


def _image_indices(slot: ViewSlot, images: Mapping[str, int]) -> NDArray[np.int64]:
    """Return the indices of the images that fill a slot; for a cine, the nearest phases."""
    count = images[slot.view]
    if slot.phases is not None:
        nearest: NDArray[np.int64] = np.rint(np.arange(slot.phases) * count / slot.phases).astype(
            np.int64
        )
        return nearest % count
    if slot.slices is not None:
        return spread_indices(count, slot.slices)
    if slot.kind == "stack":
        return np.arange(count)
    return np.zeros(images.get(slot.repeat_as or "", 1), np.int64)


def _cut_square(image: PlacedImage, form: ClipForm, heart: Vector | None) -> Pixels:
    """Cut a square in millimetres and resample it to the form's size, (H, W)."""
    pixels, (row_mm, column_mm), plane = image
    rows, columns = pixels.shape
    side_mm = form.preprocessing.field_mm
    across, down = columns / 2, rows / 2
    if side_mm is None:
        side_mm = min(rows * row_mm, columns * column_mm)
    elif heart is not None and plane is not None:
        away = heart - plane.position
        across = float(away @ plane.row) / column_mm + 0.5  # the first pixel's centre is at 0.5
        down = float(away @ plane.column) / row_mm + 0.5
    half_across, half_down = side_mm / column_mm / 2, side_mm / row_mm / 2
    return _resample_box(
        pixels,
        (across - half_across, down - half_down, across + half_across, down + half_down),
        form,
    )


def _resample_box(pixels: Pixels, box: tuple[float, float, float, float], form: ClipForm) -> Pixels:
    """Resample a box (left, top, right, bottom; in pixels); dark outside the image.

    Only output pixels that the image covers fully are computed, so that no header can cause more
    memory to be used than the image has.
    """
    left, top, right, bottom = box
    rows, columns = pixels.shape
    first, last, west, east = _covered_range(left, right, columns, form.width)
    upper, lower, north, south = _covered_range(top, bottom, rows, form.height)
    square = np.full((form.height, form.width), pixels.min(), np.float32)
    if first < last and upper < lower:
        size, box = (last - first, lower - upper), (west, north, east, south)
        covered = Raster.fromarray(pixels).resize(size, Raster.Resampling.BILINEAR, box=box)
        square[upper:lower, first:last] = np.asarray(covered)
    return square


def _covered_range(
    low: float, high: float, count: int, wanted: int
) -> tuple[int, int, float, float]:
    """Return the range of the `wanted` samples of low..high within 0..count, and its ends."""
    step = (high - low) / wanted
    # Dividing by the spacing rounds, so a sample that is minimally outside counts as inside.
    first = int(np.clip(np.ceil(-low / step - 1e-6), 0, wanted))
    last = int(np.clip(np.floor((count - low) / step + 1e-6), 0, wanted))
    return first, last, max(0.0, low + first * step), min(float(count), low + last * step)
