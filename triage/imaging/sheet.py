"""A contact sheet of stacks: slices from base to apex, or the phases of a single slice.

A sheet shows the pixels that an assessment decodes, with the same kind of window; only the shown
images are decoded. Used images are bright, others dimmed; a stack that cannot be decoded shows the
reason.
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

TILE = 110  #: side of a tile, pixels
MOST_TILES = 14
CAPTION = 26  #: height of a caption, pixels
WINDOW = (1.0, 99.5)  #: percentiles
DIMMED = 0.55  #: brightness of images that are not used
CAPTION_LENGTH = 120  #: characters of a caption at most


class SheetRow(NamedTuple):
    """One row of the sheet: a stack with its caption."""

    caption: str
    stack: Stack
    used: frozenset[tuple[str, int | None]]  #: path and frame of each used image


def write_contact_sheet(path: Path, rows: Sequence[SheetRow], read: Callable[[str], bytes]) -> None:
    """Write stacks as the rows of a PNG; `read` returns the bytes of a file by its path."""
    sheet = Raster.new("L", (MOST_TILES * TILE, max(1, len(rows)) * (TILE + CAPTION)))
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    for number, row in enumerate(rows):
        top = number * (TILE + CAPTION)
        pen.text((4, top + 6), _shorten(row.caption), fill=255 if row.used else 170, font=font)
        try:
            tiles = _tiles(_choose_images(row.stack), read, row.used)
        except DamagedInstance as reason:
            pen.text((4, top + CAPTION + 6), str(reason), fill=170, font=font)
            continue
        for column, tile in enumerate(tiles):
            sheet.paste(tile, (column * TILE, top + CAPTION))
    sheet.save(path)


def _shorten(caption: str) -> str:
    return caption if len(caption) <= CAPTION_LENGTH else caption[: CAPTION_LENGTH - 3] + "..."


def _choose_images(stack: Stack) -> list[Image]:
    """Return the first image of evenly spaced slices, or phases of the only slice."""
    if len(stack.slices) > 1:
        images = [part.images[0] for part in order_from_base(stack.slices)]
    else:
        images = list(stack.slices[0].images)
    indices = np.unique(np.linspace(0, len(images) - 1, min(MOST_TILES, len(images))).astype(int))
    return [images[index] for index in indices]


def _tiles(
    images: Sequence[Image],
    read: Callable[[str], bytes],
    used: frozenset[tuple[str, int | None]],
) -> list[Raster.Image]:
    decoded = read_pixels(images, read)
    low, high = np.percentile(np.concatenate([pixels.ravel() for pixels in decoded]), WINDOW)
    return [
        _tile(pixels, float(low), float(high), 1.0 if (image.path, image.frame) in used else DIMMED)
        for image, pixels in zip(images, decoded, strict=True)
    ]


def _tile(pixels: NDArray[np.float32], low: float, high: float, brightness: float) -> Raster.Image:
    grey = np.clip((pixels - low) / max(high - low, 1e-6), 0, 1) * 255 * brightness
    picture = Raster.fromarray(grey.astype(np.uint8))
    picture.thumbnail((TILE - 2, TILE - 2))
    return picture
