"""A contact sheet of stacks to look at: slices from base to apex, or phases of a single slice.

Rule: what a sheet shows are the pixels that an assessment would decode, windowed as it does, and
no more of them than it shows. Images that are used stand bright, others dimmed; what cannot be
decoded says so.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Raster
from PIL import ImageDraw, ImageFont

from triage.domain.errors import DamagedInstance
from triage.imaging.images import Image
from triage.imaging.pixels import read_pixels
from triage.imaging.stacks import Stack
from triage.imaging.views import order_from_base

TILE = 110
MOST_TILES = 14
CAPTION = 26
WINDOW = (1.0, 99.5)  #: percentiles
DIMMED = 0.55
WIDTH = 120  #: letters of a caption


class SheetRow(NamedTuple):
    """A stack on the sheet."""

    caption: str
    stack: Stack
    used: frozenset[tuple[str, int | None]]  #: path and frame of the images that are used


def write_contact_sheet(path: Path, rows: Sequence[SheetRow], read: Callable[[str], bytes]) -> None:
    """Write stacks as the rows of a PNG."""
    sheet = Raster.new("L", (MOST_TILES * TILE, max(1, len(rows)) * (TILE + CAPTION)))
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    for number, row in enumerate(rows):
        top = number * (TILE + CAPTION)
        pen.text((4, top + 6), _short(row.caption), fill=255 if row.used else 170, font=font)
        try:
            tiles = _tiles(_shown(row.stack), read, row.used)
        except DamagedInstance as reason:
            pen.text((4, top + CAPTION + 6), str(reason), fill=170, font=font)
            continue
        for column, tile in enumerate(tiles):
            sheet.paste(tile, (column * TILE, top + CAPTION))
    sheet.save(path)


def _short(caption: str) -> str:
    return caption if len(caption) <= WIDTH else caption[: WIDTH - 3] + "..."


def _shown(stack: Stack) -> list[Image]:
    """Return the first image of slices spread over the stack, or phases of its only slice."""
    if len(stack.slices) > 1:
        images = [one.images[0] for one in order_from_base(stack.slices)]
    else:
        images = list(stack.slices[0].images)
    at = np.unique(np.linspace(0, len(images) - 1, min(MOST_TILES, len(images))).astype(int))
    return [images[index] for index in at]


def _tiles(
    images: Sequence[Image],
    read: Callable[[str], bytes],
    used: frozenset[tuple[str, int | None]],
) -> list[Raster.Image]:
    decoded = read_pixels(images, read)
    low, high = np.percentile(np.concatenate([each.ravel() for each in decoded]), WINDOW)
    return [
        _tile(pixels, float(low), float(high), 1.0 if (at.path, at.frame) in used else DIMMED)
        for at, pixels in zip(images, decoded, strict=True)
    ]


def _tile(pixels: NDArray[np.float32], low: float, high: float, brightness: float) -> Raster.Image:
    grey = np.clip((pixels - low) / max(high - low, 1e-6), 0, 1) * 255 * brightness
    picture = Raster.fromarray(grey.astype(np.uint8))
    picture.thumbnail((TILE - 2, TILE - 2))
    return picture
