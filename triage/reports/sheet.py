"""A drawing surface on reportlab's canvas: text, boxes and pictures on A4, with y from the top.

It adds what the page needs and the canvas lacks: coordinates from the top, text with a fallback
font per character, text cut to a width, and output without timestamps and random identifiers, so
that the bytes depend on the drawing only. layout.py states why Platypus is not used.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from io import BytesIO
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Raster
from reportlab import rl_config
from reportlab.lib.colors import HexColor
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas

from triage.reports.fonts import (
    UNPRINTED,
    Face,
    fit_to_width,
    font,
    font_runs,
    printable,
    text_width,
)

#: Binary streams; ASCII85 would make them a quarter larger.
rl_config.useA85 = 0

WIDTH, HEIGHT = 595.0, 842.0  #: A4, points
BASELINE = 0.78  #: distance of the baseline from the top of a line, as a share of the font size

INK = "#1d2733"
QUIET = "#5b6875"
RED = "#b3261e"
SLATE = "#6b7c8d"
RULE = "#c9d1d9"
TRACK = "#e6eaee"
PAPER = "#f4f6f8"
AMBER = "#ffe3a3"
WHITE = "#ffffff"


@dataclass(frozen=True)
class TextStyle:
    """The style of a text."""

    size: float = 8.5
    colour: str = INK
    bold: bool = False


@dataclass(frozen=True)
class BoxStyle:
    """The style of a box; a dashed edge means "no result"."""

    fill: str | None = None
    edge: str | None = None
    dashed: bool = False
    radius: float = 0


class Area(NamedTuple):
    """A rectangle by its upper left corner, points."""

    x: float
    y: float
    width: float
    height: float


@dataclass
class Sheet:
    """A PDF in progress; (x, y) are points from the upper left corner of the current page."""

    title: str
    left_out: bool = False  #: whether this page shows `UNPRINTED`
    _file: BytesIO = field(default_factory=BytesIO)

    def __post_init__(self) -> None:
        # reportlab sets a font at the start of each page; its default font is not embedded.
        self._canvas = Canvas(
            self._file,
            (WIDTH, HEIGHT),
            invariant=True,
            pageCompression=1,
            initialFontName=font(Face.REGULAR).fontName,  # type: ignore[arg-type]  # its stubs err
        )
        self._canvas.setTitle(self.title)
        self._canvas.setAuthor("")
        self._canvas.setCreator("")

    def text(self, x: float, y: float, text: str, style: TextStyle, room: float = WIDTH) -> float:
        """Draw a line whose top is at `y`, cut to `room`; return its width."""
        clean = self._clean(text, style, room)
        self._put(x, y, clean, style)
        return text_width(clean, style.size, bold=style.bold)

    def text_before(
        self, x: float, y: float, text: str, style: TextStyle, room: float = WIDTH
    ) -> None:
        """Draw a line that ends at `x`."""
        clean = self._clean(text, style, room)
        self._put(x - text_width(clean, style.size, bold=style.bold), y, clean, style)

    def lines(self, x: float, y: float, texts: Sequence[str], style: TextStyle) -> None:
        """Draw lines below one another."""
        for number, line in enumerate(texts):
            self.text(x, y + number * leading(style.size), line, style)

    def box(self, area: Area, look: BoxStyle) -> None:
        """Draw a rectangle."""
        pen = self._canvas
        pen.saveState()
        if look.fill:
            pen.setFillColor(HexColor(look.fill))
        if look.edge:
            pen.setStrokeColor(HexColor(look.edge))
            pen.setLineWidth(0.8)
        if look.dashed:
            pen.setDash(3, 2)
        x, y, w, h = area
        stroke, fill = int(bool(look.edge)), int(bool(look.fill))
        pen.roundRect(x, HEIGHT - y - h, w, h, look.radius, stroke=stroke, fill=fill)
        pen.restoreState()

    def picture(self, x: float, y: float, side: float, pixels: NDArray[np.uint8]) -> None:
        """Draw a greyscale picture (H, W), fitted and centred into a square."""
        height, across = pixels.shape
        w, h = (side * length / max(height, across) for length in (across, height))
        grey = ImageReader(Raster.fromarray(pixels))
        bottom = HEIGHT - y - (side + h) / 2
        self._canvas.drawImage(grey, x + (side - w) / 2, bottom, w, h)

    def _clean(self, text: str, style: TextStyle, room: float) -> str:
        clean = fit_to_width(printable(text), style.size, room, bold=style.bold)
        self.left_out = self.left_out or UNPRINTED in clean
        return clean

    def _put(self, x: float, y: float, clean: str, style: TextStyle) -> None:
        pen = self._canvas.beginText(x, HEIGHT - y - BASELINE * style.size)
        pen.setFillColor(HexColor(style.colour))
        for face, piece in font_runs(clean, bold=style.bold):
            pen.setFont(face.value, style.size)
            pen.textOut(piece)
        self._canvas.drawText(pen)

    def turn(self) -> None:
        """End this page."""
        self._canvas.showPage()
        self.left_out = False

    def finish(self) -> bytes:
        """Return the PDF."""
        self._canvas.save()
        return self._file.getvalue()


def leading(size: float) -> float:
    """Return the line height of text."""
    return size * 1.32
