"""From the chosen images to the frames that the bundle's video graph takes.

As the bundle's manifest states it: rescaled intensities; a square in millimetres, the largest
centred one (preprocessing version 1) or one of a stated side about the heart (version 2); bilinear
resampling to the graph's size; the whole view in time shares one window between two percentiles,
so brightness does not flicker; the phases of a cine resampled over one cardiac cycle (cyclic,
linear). Views follow one another in the order of the layout; of more frames than the model takes,
those at uniform centres are kept (published rule). The heart is where the planes of the views
meet: that needs no pixels, and technologists lay those planes through it.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Raster
from pydicom import Dataset

from triage.imaging.geometry import (
    Plane,
    Vector,
    image_centre,
    meeting_point,
    read_numbers,
    read_plane,
)
from triage.imaging.pixels import Pixels, read_pixels
from triage.imaging.series import ChosenView
from triage.model.bundle import ClipForm, ViewSlot
from triage.ports.encoder import Frames


class PlacedImage(NamedTuple):
    """An image with its place."""

    pixels: Pixels
    spacing_mm: tuple[float, float]  #: of rows, of columns
    plane: Plane | None


class FrameSource(NamedTuple):
    """Where a frame of the clip comes from."""

    view: str
    image: int  #: its place among the images of the view


def find_heart_centre(used: Sequence[ChosenView]) -> Vector | None:
    """Return where the planes of the chosen views meet, mm; None where none has a position."""
    middles = [chosen.images[len(chosen.images) // 2].header for chosen in used]
    placed = [(header, read_plane(header)) for header in middles]
    return meeting_point(
        [(plane, _middle(header, plane)) for header, plane in placed if plane is not None]
    )


def prepare_view(
    chosen: ChosenView, form: ClipForm, heart: Vector | None, read: Callable[[str], bytes]
) -> Frames:
    """Return the 8-bit frames of one view, (images, H, W); raise DamagedInstance."""
    decoded = read_pixels(chosen.images, read)
    pictures = [
        PlacedImage(pixels, _spacing(image.header), read_plane(image.header))
        for image, pixels in zip(chosen.images, decoded, strict=True)
    ]
    return prepare_frames(pictures, form, heart)


def prepare_frames(pictures: Sequence[PlacedImage], form: ClipForm, heart: Vector | None) -> Frames:
    """Cut, resample and window the pictures of one view, (pictures, H, W)."""
    stack = np.stack([_square(picture, form, heart) for picture in pictures])
    low, high = np.percentile(stack, form.preprocessing.window_percentiles)
    scaled = (stack - low) / max(float(high - low), 1e-6)
    return _grey(scaled * 255)


def join_views(views: Mapping[str, Frames], form: ClipForm) -> Frames:
    """Return the clip of all views present, (frames <= F, H, W); at least one view is there."""
    frames = np.concatenate([_fill(slot, views, form) for slot in form.layout])
    return frames[uniform_centres(len(frames), form.frames)]


def trace_frames(images: Mapping[str, int], form: ClipForm) -> list[FrameSource | None]:
    """Return where each frame of `join_views` comes from, given how many images each view has.

    A black frame comes from nowhere: None. Of two phases that were mixed, the nearer is named.
    """
    found: list[FrameSource | None] = []
    for slot in form.layout:
        if slot.view in images:
            found += [FrameSource(slot.view, int(place)) for place in _places(slot, images)]
        else:
            found += [None] * _black(slot, form)
    return [found[kept] for kept in uniform_centres(len(found), form.frames)]


def uniform_centres(count: int, at_most: int) -> NDArray[np.int64]:
    """Return the indices of `at_most` frames at the centres of equal segments (published rule)."""
    edges = np.linspace(0, count, min(at_most, count) + 1).astype(np.int64)
    centres: NDArray[np.int64] = (edges[:-1] + edges[1:] - 1) // 2
    return centres


def spread_indices(count: int, wanted: int) -> NDArray[np.int64]:
    """Return the indices of just `wanted` of `count` frames at the centres of equal segments."""
    indices: NDArray[np.int64] = ((np.arange(wanted) + 0.5) * count / wanted).astype(np.int64)
    return indices


def resample_cycle(frames: Frames, phases: int) -> Frames:
    """Resample frames over one cyclic heartbeat, (n, H, W) -> (phases, H, W)."""
    at = np.arange(phases) * len(frames) / phases
    before = np.floor(at).astype(int)
    weight = (at - before)[:, None, None]
    after = (before + 1) % len(frames)
    mixed = frames[before] * (1 - weight) + frames[after] * weight
    return _grey(mixed)


def _grey(values: NDArray[np.floating[Any]]) -> Frames:
    grey: Frames = np.round(np.clip(values, 0, 255)).astype(np.uint8)
    return grey


def _fill(slot: ViewSlot, views: Mapping[str, Frames], form: ClipForm) -> Frames:
    if slot.view not in views:
        return np.zeros((_black(slot, form), form.height, form.width), np.uint8)
    frames = views[slot.view]
    if slot.phases is not None:
        return resample_cycle(frames, slot.phases)
    return frames[_places(slot, {view: len(each) for view, each in views.items()})]


def _black(slot: ViewSlot, form: ClipForm) -> int:
    """Return how many black frames stand for a view that is missing."""
    return slot.length or 0 if form.preprocessing.missing == "black" else 0


def _places(slot: ViewSlot, images: Mapping[str, int]) -> NDArray[np.int64]:
    """Return which images of a view fill its slot; of a cine, the nearest phases."""
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


def _middle(header: Dataset, plane: Plane) -> Vector:
    shape = int(header.get("Rows") or 1), int(header.get("Columns") or 1)
    return image_centre(plane, shape, _spacing(header))


def _square(picture: PlacedImage, form: ClipForm, heart: Vector | None) -> Pixels:
    """Cut a square in millimetres and resample it to the form's size, (H, W)."""
    pixels, (row_mm, column_mm), plane = picture
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
    return _resampled(
        pixels,
        (across - half_across, down - half_down, across + half_across, down + half_down),
        form,
    )


def _resampled(pixels: Pixels, box: tuple[float, float, float, float], form: ClipForm) -> Pixels:
    """Resample a box (left, top, right, bottom; in pixels); what lies beyond the image is dark.

    Only the output's pixels that the image covers whole are worked out, so that no header can ask
    for more memory than the image has.
    """
    left, top, right, bottom = box
    rows, columns = pixels.shape
    first, last, west, east = _covered(left, right, columns, form.width)
    upper, lower, north, south = _covered(top, bottom, rows, form.height)
    square = np.full((form.height, form.width), pixels.min(), np.float32)
    if first < last and upper < lower:
        size, box = (last - first, lower - upper), (west, north, east, south)
        covered = Raster.fromarray(pixels).resize(size, Raster.Resampling.BILINEAR, box=box)
        square[upper:lower, first:last] = np.asarray(covered)
    return square


def _covered(low: float, high: float, count: int, wanted: int) -> tuple[int, int, float, float]:
    """Return which of `wanted` samples of low..high lie within 0..count, and where these begin."""
    step = (high - low) / wanted
    # A spacing need not give the same number back, so what is a hair too far is not beyond.
    first = int(np.clip(np.ceil(-low / step - 1e-6), 0, wanted))
    last = int(np.clip(np.floor((count - low) / step + 1e-6), 0, wanted))
    return first, last, max(0.0, low + first * step), min(float(count), low + last * step)


def _spacing(header: Dataset) -> tuple[float, float]:
    """Return the spacing of rows and of columns, mm; 1 where the header states none."""
    stated = read_numbers(header, "PixelSpacing")
    usable = len(stated) == 2 and min(stated) > 0  # noqa: PLR2004 - rows and columns
    return (stated[0], stated[1]) if usable else (1.0, 1.0)
