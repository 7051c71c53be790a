"""Text on the page: the font of each character, the width of a text, and line breaks.

A character that no font has is never drawn: a viewer would show an empty box or nothing, which may
be taken for the name. The page shows `UNPRINTED` instead and explains it.
"""

import unicodedata
from collections.abc import Iterable, Iterator
from enum import StrEnum
from functools import cache
from itertools import groupby
from pathlib import Path

from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont

from triage.reports.content import one_line

FOLDER = Path(__file__).parent / "font_files"
UNPRINTED = "[…]"


class Face(StrEnum):
    """The fonts, by the stem of their file."""

    REGULAR = "NotoSans-Regular"
    BOLD = "NotoSans-Bold"
    EAST_ASIAN = "NotoSansCJK-Regular"


def printable(text: str) -> str:
    """Return `text` in one line, with `UNPRINTED` for each run of characters without a font."""
    pieces = groupby(unicodedata.normalize("NFC", one_line(text)), lambda c: _face(c) is not None)
    return "".join("".join(letters) if known else UNPRINTED for known, letters in pieces)


def font_runs(text: str, *, bold: bool = False) -> Iterator[tuple[Face, str]]:
    """Yield the pieces of a printable text, each with its font."""
    for face, letters in groupby(text, _face):
        if face is not None:
            yield _weight(face, bold=bold), "".join(letters)


def text_width(text: str, size: float, *, bold: bool = False) -> float:
    """Return the width of a printable text, points."""
    return sum(font(face).stringWidth(piece, size) for face, piece in font_runs(text, bold=bold))


def fit_to_width(text: str, size: float, room: float, *, bold: bool = False) -> str:
    """Return `text`, cut with an ellipsis if it is wider than `room` points."""
    if text_width(text, size, bold=bold) <= room:
        return text
    kept = text
    while kept and text_width(f"{kept}…", size, bold=bold) > room:
        kept = kept[:-1]
    return f"{kept.rstrip()}…"


def wrap_lines(text: str, size: float, room: float, *, bold: bool = False) -> list[str]:
    """Return `text` as lines no wider than `room` points; breaks within a part that is wider."""
    complete, line = [], ""
    for part in _parts(text, size, room, bold=bold):
        longer = f"{line} {part}" if line else part
        if line and text_width(longer, size, bold=bold) > room:
            complete.append(line)
            line = part
        else:
            line = longer
    return [*complete, line] if line else complete


def _parts(text: str, size: float, room: float, *, bold: bool) -> Iterable[str]:
    """Yield the parts between spaces, divided if wider than a line, as in East Asian text."""
    for word in text.split():
        rest = word
        while text_width(rest, size, bold=bold) > room:
            fits = max(
                1, sum(text_width(rest[: n + 1], size, bold=bold) <= room for n in range(len(rest)))
            )
            yield rest[:fits]
            rest = rest[fits:]
        yield rest


def _weight(face: Face, *, bold: bool) -> Face:
    face = Face.BOLD if bold and face is Face.REGULAR else face
    font(face)
    return face


@cache
def _face(letter: str) -> Face | None:
    # The large East Asian font is loaded only for a character that the small font lacks.
    return next((f for f in (Face.REGULAR, Face.EAST_ASIAN) if _has(f, letter)), None)


def _has(face: Face, letter: str) -> bool:
    return ord(letter) in font(face).face.charToGlyph


@cache
def font(face: Face) -> TTFont:
    """Load a font and register it with the PDF library, once per process."""
    read = TTFont(face.value, FOLDER / f"{face}.ttf")
    pdfmetrics.registerFont(read)
    return read
