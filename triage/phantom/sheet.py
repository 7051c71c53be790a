"""Contact sheets of several hearts, or of one whole study.

A sheet shows the pixels of `study.acquire_stacks`, windowed between two percentiles as the worker
does, without overlays. The caption of a row lists the drawn numbers.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from triage.phantom import stack
from triage.phantom.heart import Heart, Pathology, draw_heart
from triage.phantom.signal import LOOKS, ScannerLook
from triage.phantom.stack import PhantomStack, PhantomView
from triage.phantom.study import StudyPart, acquire_stacks

Tile = NDArray[np.uint8]  #: (TILE, TILE)
TILE = 168
SHOWN_MM = 250.0  #: side of the central square that a tile shows
CAPTION = 30  #: height of a caption, pixels
FONT_SIZE = 13
WINDOW = (1.0, 99.5)  #: percentiles
END_SYSTOLE = 0.36
CINE, LGE = stack.PhantomSequence.CINE, stack.PhantomSequence.LGE
SHORT_AXIS = (
    StudyPart(CINE, PhantomView.SAX, middle=True),
    StudyPart(LGE, PhantomView.SAX, middle=True),
)
#: Columns of the sheet of hearts: caption, part of the study, phase of the cycle.
COLUMNS = (
    ("4CH diastole", StudyPart(CINE, PhantomView.FOUR_CHAMBER), 0.0),
    ("4CH systole", StudyPart(CINE, PhantomView.FOUR_CHAMBER), END_SYSTOLE),
    ("SAX diastole", SHORT_AXIS[0], 0.0),
    ("SAX systole", SHORT_AXIS[0], END_SYSTOLE),
    ("2CH diastole", StudyPart(CINE, PhantomView.TWO_CHAMBER), 0.0),
    ("3CH diastole", StudyPart(CINE, PhantomView.THREE_CHAMBER), 0.0),
    ("LGE SAX", SHORT_AXIS[1], 0.0),
    ("LGE 4CH", StudyPart(LGE, PhantomView.FOUR_CHAMBER), 0.0),
)


def pathology_hearts(seed: int) -> dict[str, Heart]:
    """Return a normal heart and one of each pathology, by caption."""
    return {kind.value: draw_heart(seed + index, (kind,)) for index, kind in enumerate(Pathology)}


def write_sheet(path: Path, hearts: Mapping[str, Heart], looks: Sequence[ScannerLook] = ()) -> None:
    """Write hearts as rows and views with phases as columns; the looks alternate."""
    looks = looks or tuple(LOOKS.values())
    rows = [
        (
            f"{caption}   {describe_heart(heart)}   {looks[index % len(looks)].name}",
            _row(heart, look),
        )
        for index, (caption, heart) in enumerate(hearts.items())
        for look in [looks[index % len(looks)]]
    ]
    paste_rows(rows, [caption for caption, _, _ in COLUMNS]).save(path)


def write_study(
    path: Path, heart: Heart, look: ScannerLook, seed: int, *, extras: bool = True
) -> None:
    """Write one study with a row per stack: its slices, or the times of its only slice."""
    stacks = acquire_stacks(heart, look, seed, extras=extras)
    rows = [(f"{one.sequence} {one.view}", _select_tiles(one, 9)) for one in stacks]
    paste_rows(rows, [describe_heart(heart)]).save(path)


def describe_heart(heart: Heart) -> str:
    """Return the drawn numbers as a line of text."""
    return (
        f"LV {heart.lv_edv_ml:.0f} ml, {heart.lv_ef:.0%}; RV {heart.rv_edv_ml:.0f} ml, "
        f"{heart.rv_ef:.0%}; wall {heart.wall_mm.max():.0f} mm; aorta {heart.root_mm:.0f}, "
        f"{heart.ascending_mm:.0f}, {heart.descending_mm:.0f} mm"
    )


def paste_rows(rows: Sequence[tuple[str, Sequence[Tile]]], captions: Sequence[str]) -> Image.Image:
    """Return a sheet: captions of the columns, then each row's caption above its tiles."""
    width = max(len(tiles) for _, tiles in rows) * TILE
    sheet = Image.new("L", (width, CAPTION + len(rows) * (TILE + CAPTION)))
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(FONT_SIZE)
    for column, caption in enumerate(captions):
        pen.text((column * TILE + 4, 8), caption, fill=255, font=font)
    for row, (caption, tiles) in enumerate(rows):
        top = CAPTION + row * (TILE + CAPTION)
        pen.text((4, top + 8), caption, fill=200, font=font)
        for column, tile in enumerate(tiles):
            sheet.paste(Image.fromarray(tile), (column * TILE, top + CAPTION))
    return sheet


def _row(heart: Heart, look: ScannerLook) -> list[Tile]:
    wanted = tuple(dict.fromkeys(want for _, want, _ in COLUMNS))
    stacks = {
        (one.sequence, one.view): one
        for one in acquire_stacks(heart, look, heart.seed, only=wanted)
    }
    return [_tile(stacks[want[:2]], 0, phase) for _, want, phase in COLUMNS]


def _select_tiles(one: PhantomStack, count: int) -> list[Tile]:
    """Return tiles over the slices of a stack, or over the times of a single slice."""
    if len(one.slices) > 1:
        chosen = np.unique(np.linspace(0, len(one.slices) - 1, count).astype(int))
        late = 0.5 if one.sequence is stack.PhantomSequence.PERFUSION else 0.0
        return [_tile(one, int(index), late) for index in chosen]
    times = np.unique(np.linspace(0, len(one.times_ms) - 1, count).astype(int))
    return [_tile(one, 0, index / len(one.times_ms)) for index in times]


def _tile(one: PhantomStack, index: int, phase: float) -> Tile:
    pixels = one.slices[index].pixels
    shown = pixels[round(phase * len(pixels))].astype(np.float32)  # (rows, columns)
    rows, columns = shown.shape
    low, high = np.percentile(pixels, WINDOW)
    grey = np.clip((shown - low) / max(float(high - low), 1e-6), 0, 1) * 255
    half = min(SHOWN_MM / one.pixel_mm, rows, columns) / 2
    box = (columns / 2 - half, rows / 2 - half, columns / 2 + half, rows / 2 + half)
    picture = Image.fromarray(grey).resize((TILE, TILE), Image.Resampling.BICUBIC, box=box)
    return np.asarray(np.clip(np.asarray(picture), 0, 255), np.uint8)
