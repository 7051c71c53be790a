"""The layout of the page: blocks below one another, on as few sheets as they need.

A block is never split, a heading stays with the following block, and nothing is dropped. Blocks
that are together a little too high for one sheet give up their slack, the space around them.
Platypus, the layout engine of reportlab, is not used: here the verdict, the bars on a common scale
and the captioned frames are drawn at computed positions, which would each need a custom Flowable.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise, zip_longest

from triage.reports import fonts as letters
from triage.reports.sheet import HEIGHT, QUIET, WIDTH, Sheet, TextStyle, leading

MARGIN = 36.0
ROOM = WIDTH - 2 * MARGIN
RIGHT = WIDTH - MARGIN
TOP = 92.0  #: y at which the content begins, below banner and patient
BOTTOM = HEIGHT - 42.0  #: y at which it ends
GAP = 10.0
ROUNDING = 1e-6  #: share of the slack that covers rounding errors in sums of heights
LEAST_GAP = 4.0  #: between two parts of a page that is nearly too full
#: x and width of the two columns of lines; the left one has the names of series, which are long
COLUMNS = ((MARGIN, 282.0), (MARGIN + 282.0 + 2 * GAP, ROOM - 282.0 - 2 * GAP))

BODY = TextStyle(8.5)
SMALL = TextStyle(7.5)
FAINT = TextStyle(7.5, QUIET)
HEADING = TextStyle(10.5, bold=True)


@dataclass(frozen=True)
class PageBlock:
    """A part of the page."""

    height: float
    draw: Callable[[Sheet, float], None]  #: arguments: the sheet, and y of the block's top
    is_heading: bool = False  #: stays with the next block
    slack: float = 0.0  #: the part of the height that may be left out if the sheet is too full


@dataclass(frozen=True)
class ColumnLine:
    """A line of one of two columns."""

    text: str
    style: TextStyle = BODY


def paginate(blocks: Sequence[PageBlock]) -> list[list[PageBlock]]:
    """Return the blocks of each sheet."""
    pages: list[list[PageBlock]] = [[]]
    room = BOTTOM - TOP
    for block, following in pairwise([*_tighten(blocks, room), space()]):
        needed = block.height + (following.height if block.is_heading else 0)
        if needed > room and pages[-1]:
            pages.append([])
            room = BOTTOM - TOP
        pages[-1].append(block)
        room -= block.height
    return pages


def _tighten(blocks: Sequence[PageBlock], room: float) -> Sequence[PageBlock]:
    """Return the blocks with less slack if so they fit into `room`, otherwise unchanged."""
    over = sum(block.height for block in blocks) - room
    slack = sum(block.slack for block in blocks)
    if not 0 < over <= slack:
        return blocks
    share = min(1.0, over / slack + ROUNDING)
    return [replace(b, height=b.height - b.slack * share) for b in blocks]


def heading(text: str, note: str = "") -> PageBlock:
    """Return a heading followed by a note."""
    return PageBlock(17, partial(_put_heading, text=text, note=note), is_heading=True)


def space() -> PageBlock:
    """Return the gap between two parts."""
    return PageBlock(GAP, _put_nothing, slack=GAP - LEAST_GAP)


def side_by_side(left: Sequence[ColumnLine], right: Sequence[ColumnLine]) -> Iterator[PageBlock]:
    """Yield two columns of lines."""
    for pair in zip_longest(left, right):
        high = max(leading(line.style.size) for line in pair if line is not None)
        yield PageBlock(
            high, partial(_put_lines, pair=pair), is_heading=any(p and p.style.bold for p in pair)
        )


def wrap(text: str, style: TextStyle, column: int = 0) -> Iterator[ColumnLine]:
    """Yield `text` as lines of the left column, 0, or the right one, 1."""
    for line in letters.wrap_lines(letters.printable(text), style.size, COLUMNS[column][1]):
        yield ColumnLine(line, style)


def _put_heading(sheet: Sheet, y: float, text: str, note: str) -> None:
    used = sheet.text(MARGIN, y, text, HEADING) + 8
    sheet.text(MARGIN + used, y + 2.5, note, FAINT, ROOM - used)


def _put_lines(sheet: Sheet, y: float, pair: Sequence[ColumnLine | None]) -> None:
    for (x, width), line in zip(COLUMNS, pair, strict=True):
        if line is not None:
            sheet.text(x, y, line.text, line.style, width)


def _put_nothing(sheet: Sheet, y: float) -> None:
    """Leave the space empty."""
