"""A sheet of A4 to draw on: texts, boxes, bars and pictures, from the top down.

Rule: it knows points and colours, and nothing of medicine. Its bytes depend on what is drawn
alone: the PDF library is told to leave out clock and chance.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Raster
from reportlab import rl_config
from reportlab.lib.colors import HexColor
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas

from triage.reports.letters import UNPRINTED, fitted, printable, runs, width

WIDTH, HEIGHT = 595.0, 842.0  #: A4, points
BASELINE = 0.78  #: of the size: how far under its top the letters of a line stand

INK = "#1d2733"
QUIET = "#5b6875"
RED = "#b3261e"
SLATE = "#6b7c8d"
RULE = "#c9d1d9"
TRACK = "#e6eaee"
PAPER = "#f4f6f8"
AMBER = "#ffe3a3"
WHITE = "#ffffff"


@dataclass
class Sheet:
    """One PDF while it is drawn; (x, y) are points from the upper left corner."""

    title: str
    left_out: bool = False  #: whether this page lacks letters that no font has
    _file: BytesIO = field(default_factory=BytesIO)

    def __post_init__(self) -> None:
        with _plain_streams():
            self._canvas = Canvas(self._file, (WIDTH, HEIGHT), invariant=True, pageCompression=1)
        self._canvas.setTitle(self.title)
        self._canvas.setAuthor("")
        self._canvas.setCreator("")

    def text(
        self,
        x: float,
        y: float,
        text: str,
        size: float = 8,
        *,
        room: float = WIDTH,
        colour: str = INK,
        bold: bool = False,
        right: bool = False,
    ) -> float:
        """Draw a line whose top is at `y`, cut to `room`; return its width."""
        clean = fitted(printable(text), size, room, bold=bold)
        self.left_out = self.left_out or UNPRINTED in clean
        taken = width(clean, size, bold=bold)
        pen = self._canvas.beginText(x - taken if right else x, HEIGHT - y - BASELINE * size)
        pen.setFillColor(HexColor(colour))
        for face, piece in runs(clean, bold=bold):
            pen.setFont(face.value, size)
            pen.textOut(piece)
        self._canvas.drawText(pen)
        return taken

    def block(
        self, x: float, y: float, texts: Sequence[str], size: float, *, colour: str = INK
    ) -> None:
        """Draw lines under one another."""
        for number, line in enumerate(texts):
            self.text(x, y + number * leading(size), line, size, colour=colour)

    def box(
        self,
        x: float,
        y: float,
        w: float,
        h: float,
        fill: str | None = None,
        *,
        edge: str | None = None,
        dashed: bool = False,
        radius: float = 0,
    ) -> None:
        """Draw a rectangle; `dashed` says that there is nothing in it."""
        pen = self._canvas
        pen.saveState()
        if fill:
            pen.setFillColor(HexColor(fill))
        if edge:
            pen.setStrokeColor(HexColor(edge))
            pen.setLineWidth(0.8)
        if dashed:
            pen.setDash(3, 2)
        pen.roundRect(x, HEIGHT - y - h, w, h, radius, stroke=int(bool(edge)), fill=int(bool(fill)))
        pen.restoreState()

    def picture(
        self, x: float, y: float, side: float, pixels: NDArray[np.uint8]
    ) -> tuple[float, float]:
        """Draw a grey picture (H, W) into a square; return the width and height it took."""
        height, across = pixels.shape
        scale = side / max(height, across)
        w, h = across * scale, height * scale
        grey = ImageReader(Raster.fromarray(pixels))
        with _plain_streams():
            self._canvas.drawImage(grey, x, HEIGHT - y - h, w, h)
        return w, h

    def turn(self) -> None:
        """End this page."""
        self._canvas.showPage()
        self.left_out = False

    def finish(self) -> bytes:
        """Return the PDF."""
        with _plain_streams():
            self._canvas.save()
        return self._file.getvalue()


def leading(size: float) -> float:
    """Return the distance of two lines of text."""
    return size * 1.32


@contextmanager
def _plain_streams() -> Iterator[None]:
    """Write streams as bytes, not as ASCII letters, which are a quarter longer."""
    before, rl_config.useA85 = rl_config.useA85, 0
    try:
        yield
    finally:
        rl_config.useA85 = before
