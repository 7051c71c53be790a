"""From the chosen images to the frames that the bundle's video graph takes.

Preprocessing version 1, as the bundle's manifest states it: rescaled intensities; the whole view
in time shares one window between two percentiles, so brightness does not flicker; the largest
centred square in millimetres; bilinear resampling to the graph's size; the phases of a cine
resampled over one cardiac cycle (cyclic, linear). Views follow one another in the order of the
layout; of more frames than the model takes, those at uniform centres are kept (published rule).
"""

from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Picture
from pydicom import Dataset, dcmread
from pydicom.pixels.processing import apply_modality_lut

from triage.domain.errors import DamagedInstance
from triage.imaging.geometry import numbers
from triage.imaging.header import UNREADABLE
from triage.imaging.series import Chosen, Image
from triage.model.bundle import Manifest, Slot
from triage.ports import Frames

Pixels = NDArray[np.float32]  #: (H, W)

#: What pydicom's decoders raise on pixel data that they cannot read.
UNDECODABLE = (*UNREADABLE, RuntimeError, IndexError)


def view_frames(chosen: Chosen, manifest: Manifest, read: Callable[[str], bytes]) -> Frames:
    """Return the 8-bit frames of one view, (images, H, W); raise DamagedInstance."""
    size = (manifest.sizes.height, manifest.sizes.width)
    squares = [_square(_pixels(image, read), image.header, size) for image in chosen.images]
    stack = np.stack(squares)  # (images, H, W)
    low, high = np.percentile(stack, manifest.preprocessing.window_percentiles)
    scaled = (stack - low) / max(float(high - low), 1e-6)
    return _grey(scaled * 255)


def join(views: Mapping[str, Frames], manifest: Manifest) -> Frames:
    """Return the clip of all views present, (frames <= F, H, W); at least one view is there."""
    parts = [_fill(slot, views[slot.view], views) for slot in manifest.layout if slot.view in views]
    frames = np.concatenate(parts)
    return frames[uniform_centres(len(frames), manifest.sizes.frames)]


def uniform_centres(count: int, at_most: int) -> NDArray[np.int64]:
    """Return the indices of `at_most` frames at the centres of equal segments (published rule)."""
    edges = np.linspace(0, count, min(at_most, count) + 1).astype(np.int64)
    centres: NDArray[np.int64] = (edges[:-1] + edges[1:] - 1) // 2
    return centres


def over_cycle(frames: Frames, phases: int) -> Frames:
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


def _fill(slot: Slot, frames: Frames, views: Mapping[str, Frames]) -> Frames:
    if slot.phases is not None:
        return over_cycle(frames, slot.phases)
    if slot.repeat_as is not None and slot.repeat_as in views:
        return np.repeat(frames[:1], len(views[slot.repeat_as]), axis=0)
    return frames


def _pixels(image: Image, read: Callable[[str], bytes]) -> Pixels:
    try:
        dataset = dcmread(BytesIO(read(image.path)))
        values = apply_modality_lut(dataset.pixel_array, dataset)
    except UNDECODABLE as error:
        raise DamagedInstance(f"pixel data does not decode ({type(error).__name__})") from None
    if values.ndim != 2:  # noqa: PLR2004 - rows and columns
        raise DamagedInstance("not a single grey image")
    pixels = values.astype(np.float32)
    return -pixels if dataset.get("PhotometricInterpretation") == "MONOCHROME1" else pixels


def _square(pixels: Pixels, header: Dataset, size: tuple[int, int]) -> Pixels:
    """Cut the largest centred square in millimetres and resample it to `size` (H, W)."""
    spacing = numbers(header, "PixelSpacing")
    row_mm, column_mm = spacing if _usable(spacing) else (1.0, 1.0)
    rows, columns = pixels.shape
    side_mm = min(rows * row_mm, columns * column_mm)
    # min: division and multiplication by a spacing need not give the same number back.
    half_rows = min(rows / 2, side_mm / row_mm / 2)
    half_columns = min(columns / 2, side_mm / column_mm / 2)
    box = (
        columns / 2 - half_columns,
        rows / 2 - half_rows,
        columns / 2 + half_columns,
        rows / 2 + half_rows,
    )
    resized = Picture.fromarray(pixels).resize(
        (size[1], size[0]), Picture.Resampling.BILINEAR, box=box
    )
    return np.asarray(resized, dtype=np.float32)


def _usable(spacing: Sequence[float]) -> bool:
    return len(spacing) == 2 and min(spacing) > 0  # noqa: PLR2004 - rows and columns
