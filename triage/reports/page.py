"""The page that a radiologist reads in ten seconds, as a PDF.

Rule: flags come first and never leave page one; "not flagged" and "not evaluated" look different
at a glance; what does not fit goes to a further page, never away. All scores share one axis.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise, zip_longest
from typing import Any

from pydicom import Dataset
from pydicom.valuerep import PersonName

from triage.domain.assessment import Answer, Assessment, Flag, Presence, SimilarCase, SourceImage
from triage.reports import draft, header, letters
from triage.reports.content import plain
from triage.reports.reporting import Reporting
from triage.reports.sheet import (
    AMBER,
    HEIGHT,
    INK,
    PAPER,
    QUIET,
    RED,
    RULE,
    SLATE,
    TRACK,
    WHITE,
    WIDTH,
    Sheet,
    leading,
)

TITLE = "AI triage (RESEARCH USE ONLY)"
BANNER = "RESEARCH USE ONLY: unverified AI output, not for diagnosis or treatment"
SCORES = "score: likeness of images and question, no probability; | threshold"
MARGIN = 36.0
ROOM = WIDTH - 2 * MARGIN
TOP = 92.0  #: where the content begins, under banner and patient
BOTTOM = HEIGHT - 40.0  #: where it ends
GAP = 9.0
FEW = 14  #: findings up to here have tall rows in one column
PICTURES = 5
SMALL, BODY = 7.5, 8.5
#: The slots of the published layout in words; a bundle's own slot keeps its name.
VIEWS = {
    "cine_lax": "Cine, long axis",
    "cine_sa": "Cine, short axis",
    "lge_sa": "Late enhancement, short axis",
    "lge_lax": "Late enhancement, four-chamber",
    "lge_2ch": "Late enhancement, two-chamber",
    "lge_3ch": "Late enhancement, three-chamber",
}


@dataclass(frozen=True)
class Block:
    """A part of the page that is not torn apart."""

    height: float
    draw: Callable[[Sheet, float], None]  #: given the top
    heads: bool = False  #: a heading, which stays with what follows


@dataclass(frozen=True)
class Axis:
    """The scale that all bars share."""

    low: float
    high: float

    def at(self, value: float) -> float:
        """Return the place of `value`, 0 to 1."""
        return (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)


def render(reporting: Reporting) -> bytes:
    """Return the page as a PDF, of as few sheets as it takes.

    Raises:
        StudyDeclined: The evidence shows more than one patient.
        ValueError: The evidence is not that of the assessment.
    """
    with header.tolerant():
        images = header.one_study(reporting.evidence, reporting.assessment)
        patient = header.patient_and_study(images)
        sheet = Sheet(TITLE)
        pages = _paged(list(_blocks(reporting, images)))
        for number, blocks in enumerate(pages, start=1):
            _put_head(sheet, patient)
            y = TOP
            for block in blocks:
                block.draw(sheet, y)
                y += block.height
            _put_foot(sheet, reporting, f"page {number} of {len(pages)}")
            sheet.turn()
        return sheet.finish()


def _paged(blocks: Sequence[Block]) -> list[list[Block]]:
    pages: list[list[Block]] = [[]]
    room = BOTTOM - TOP
    for block, following in pairwise([*blocks, Block(0, _nothing)]):
        needed = block.height + (following.height if block.heads else 0)
        if needed > room and pages[-1]:
            pages.append([])
            room = BOTTOM - TOP
        pages[-1].append(block)
        room -= block.height
    return pages


def _blocks(reporting: Reporting, images: Sequence[Dataset]) -> Iterator[Block]:
    assessment = reporting.assessment
    axis = _axis(assessment.answers)
    yield _verdict(assessment)
    yield from _flagged(assessment, axis)
    yield from _key_frames(reporting, images)
    yield from _draft(assessment)
    yield from _not_flagged(assessment, axis)
    yield from _not_evaluated(assessment)
    yield from _side_by_side(list(_views(assessment)), list(_similar(assessment.similar)))
    yield from _model(assessment)


# Head and foot of each page


def _put_head(sheet: Sheet, patient: Dataset) -> None:
    sheet.box(0, 0, WIDTH, 24, AMBER)
    sheet.text(MARGIN, 7.5, BANNER, 9, bold=True, room=ROOM)
    half = ROOM / 2
    sheet.text(MARGIN, 36, _person(patient.PatientName) or "no name", 13, bold=True, room=half + 60)
    born = _day(patient.PatientBirthDate) or "unknown"
    ident = f"ID {patient.PatientID or 'missing'}   born {born}   sex {patient.PatientSex or '?'}"
    sheet.text(MARGIN, 56, ident, BODY, room=half + 60, colour=QUIET)
    right = WIDTH - MARGIN
    what = patient.get("StudyDescription") or "Cardiac MRI"
    sheet.text(right, 38, what, 9.5, right=True, room=half - 70, bold=True)
    when = f"study of {_day(patient.StudyDate) or 'unknown date'}"
    accession = f"accession {patient.AccessionNumber or 'missing'}"
    sheet.text(right, 51, when, BODY, right=True, room=half - 70, colour=QUIET)
    sheet.text(right, 63, accession, BODY, right=True, room=half - 70, colour=QUIET)
    sheet.box(MARGIN, 80, ROOM, 0.8, RULE)


def _put_foot(sheet: Sheet, reporting: Reporting, page: str) -> None:
    y = HEIGHT - 30
    if sheet.left_out:
        note = f"{letters.UNPRINTED} stands for letters that this page cannot print."
        sheet.text(MARGIN, y - 11, note, SMALL, bold=True)
    sheet.box(MARGIN, y, ROOM, 0.6, RULE)
    by = reporting.equipment
    written = f"{by.manufacturer}: {by.name} {by.software_version}, site {by.serial}"
    sheet.text(MARGIN, y + 5, written, 7, colour=QUIET, room=ROOM - 140)
    edition = f"revision {reporting.assessment.revision}, {page}"
    sheet.text(WIDTH - MARGIN, y + 5, edition, 7, colour=QUIET, right=True)


# What it comes to


def _verdict(assessment: Assessment) -> Block:
    return Block(50 + GAP, partial(_put_verdict, assessment=assessment))


def _put_verdict(sheet: Sheet, y: float, assessment: Assessment) -> None:
    flags = [answer.flag for answer in assessment.answers]
    asked, silent = len(flags), flags.count(Flag.NOT_EVALUATED)
    rest = f"{silent} of {asked} findings not evaluated" if silent else "All findings evaluated"
    if assessment.flag is Flag.YES:
        sheet.box(MARGIN, y, ROOM, 50, RED, radius=5)
        _put_sentence(sheet, y, f"{flags.count(Flag.YES)} of {asked} findings flagged", rest, WHITE)
        right = WIDTH - MARGIN - 14
        sheet.text(right, y + 10, "Read sooner", 15, bold=True, right=True, colour=WHITE)
        sheet.text(right, y + 32, "suggested priority", BODY, right=True, colour=WHITE)
    elif assessment.flag is Flag.NO:
        sheet.box(MARGIN, y, ROOM, 50, PAPER, edge=SLATE, radius=5)
        _put_sentence(
            sheet, y, "No finding flagged", f"{rest}. Not flagged does not mean absent.", INK
        )
        _put_unchanged(sheet, y)
    else:
        sheet.box(MARGIN, y, ROOM, 50, edge=QUIET, dashed=True, radius=5)
        _put_sentence(sheet, y, "Not evaluated", f"{draft.NOTHING}", INK)
        _put_unchanged(sheet, y)


def _put_sentence(sheet: Sheet, y: float, large: str, small: str, colour: str) -> None:
    sheet.text(MARGIN + 14, y + 8, large, 18, bold=True, colour=colour)
    sheet.text(MARGIN + 14, y + 32, small, BODY, colour=colour)


def _put_unchanged(sheet: Sheet, y: float) -> None:
    right = WIDTH - MARGIN - 14
    sheet.text(right, y + 12, "Order unchanged", 11, bold=True, right=True, colour=QUIET)
    sheet.text(right, y + 32, "no priority suggested", BODY, right=True, colour=QUIET)


# Findings, with bars


def _axis(answers: Sequence[Answer]) -> Axis:
    numbers = [v for a in answers for v in (a.score, a.threshold) if v is not None]
    finite = [value for value in numbers if math.isfinite(value)]
    low, high = min([0.0, *finite]), max([0.0, *finite])
    return Axis(low * 1.08, high * 1.08 if high > 0 else 1.0)


def _flagged(assessment: Assessment, axis: Axis) -> Iterator[Block]:
    answers = [answer for answer in assessment.answers if answer.flag is Flag.YES]
    if answers:
        yield _heading("Flagged", SCORES)
        tall = len(answers) <= FEW
        for answer in answers:
            yield Block(
                19 if tall else 12.5, partial(_put_row, answer=answer, axis=axis, tall=tall)
            )
        yield _space()


def _not_flagged(assessment: Assessment, axis: Axis) -> Iterator[Block]:
    answers = [answer for answer in assessment.answers if answer.flag is Flag.NO]
    if not answers:
        return
    yield _heading("Not flagged", SCORES if assessment.flag is Flag.NO else "")
    if len(answers) <= FEW:
        for answer in answers:
            yield Block(15.5, partial(_put_row, answer=answer, axis=axis, tall=True))
    else:
        half = math.ceil(len(answers) / 2)
        for pair in zip_longest(answers[:half], answers[half:]):
            yield Block(12.5, partial(_put_pair, pair=pair, axis=axis))
    yield _space()


def _put_pair(sheet: Sheet, y: float, pair: Sequence[Answer | None], axis: Axis) -> None:
    wide = (ROOM - 2 * GAP) / 2
    for column, answer in enumerate(pair):
        if answer is not None:
            x = MARGIN + column * (wide + 2 * GAP)
            _put_row(sheet, y, answer, axis, tall=False, x=x, wide=wide)


def _put_row(
    sheet: Sheet,
    y: float,
    answer: Answer,
    axis: Axis,
    *,
    tall: bool,
    x: float = MARGIN,
    wide: float = ROOM,
) -> None:
    """Name, bar, score and threshold, and what is claimed."""
    flagged = answer.flag is Flag.YES
    size = (10 if flagged else 8.5) if tall else 7.5
    high = (9.0 if flagged else 7.0) if tall else 6.0
    ends = (0.43, 0.69) if wide == ROOM else (0.53, 0.69)
    name_room, bar_room = wide * ends[0] - 12, wide * (ends[1] - ends[0])
    if flagged:
        sheet.box(x, y + 1, 4, high + 2, RED)
    sheet.text(x + 9, y, answer.finding.name, size, room=name_room, bold=flagged)
    _put_bar(sheet, x + wide * ends[0], y + 1.5, (bar_room, high), answer, axis)
    score, threshold = draft.figures(answer)
    at = x + wide * ends[1]
    colour = RED if flagged else INK
    sheet.text(at + 34, y, score, size, bold=True, colour=colour, right=True)
    sheet.text(at + 39, y + size - 7, f"| {threshold}" if threshold else "", 7, colour=QUIET)
    claim = "" if wide != ROOM and flagged else _claim(answer)
    sheet.text(x + wide, y + size - 7.5, claim, 7.5 if tall else 7, colour=colour, right=True)


def _put_bar(
    sheet: Sheet, x: float, y: float, size: tuple[float, float], answer: Answer, axis: Axis
) -> None:
    wide, high = size
    sheet.box(x, y, wide, high, TRACK, radius=1.5)
    if answer.score is not None and math.isfinite(answer.score):
        ends = sorted((axis.at(0), axis.at(answer.score)))
        colour = RED if answer.flag is Flag.YES else SLATE
        sheet.box(x + ends[0] * wide, y, (ends[1] - ends[0]) * wide, high, colour)
    if answer.threshold is not None and math.isfinite(answer.threshold):
        sheet.box(x + axis.at(answer.threshold) * wide - 0.7, y - 2, 1.4, high + 4, INK)


def _claim(answer: Answer) -> str:
    if answer.flag is Flag.YES:
        return "FLAGGED"
    return "absent" if answer.presence is Presence.ABSENT else "not ruled out"


def _not_evaluated(assessment: Assessment) -> Iterator[Block]:
    """In a dashed box, without bars: there is nothing to compare."""
    by_reason = draft.not_evaluated(assessment.answers)
    if not by_reason:
        return
    yield _heading("Not evaluated", "neither flagged nor ruled out: nobody looked")
    for reason, names in by_reason.items():
        said = letters.lines(letters.printable("; ".join(names)), BODY, ROOM - 24)
        why = letters.lines(letters.printable(f"Why: {reason}"), SMALL, ROOM - 24)
        high = len(said) * leading(BODY) + len(why) * leading(SMALL) + 11
        yield Block(high + 4, partial(_put_silent, said=said, why=why, high=high))
    yield _space()


def _put_silent(
    sheet: Sheet, y: float, said: Sequence[str], why: Sequence[str], high: float
) -> None:
    sheet.box(MARGIN, y, ROOM, high, edge=QUIET, dashed=True, radius=3)
    sheet.block(MARGIN + 12, y + 5, said, BODY)
    sheet.block(MARGIN + 12, y + 5 + len(said) * leading(BODY), why, SMALL, colour=QUIET)


# Key frames


def _key_frames(reporting: Reporting, images: Sequence[Dataset]) -> Iterator[Block]:
    shown = _chosen(reporting)
    if shown:
        numbers = {str(image.SOPInstanceUID): image for image in images}
        yield _heading("Frames that made the flags", "the foremost of each finding")
        draw = partial(_put_frames, shown=shown, reporting=reporting, numbers=numbers)
        yield Block(_side() + 3 * leading(SMALL) + 4, draw)
        yield _space()


def _chosen(reporting: Reporting) -> dict[SourceImage, tuple[str, list[str]]]:
    """The frames to show: the foremost of each flagged finding, then the second of each, ..."""
    shown: dict[SourceImage, tuple[str, list[str]]] = {}
    flagged = [a for a in reporting.assessment.answers if a.flag is Flag.YES]
    for rank in zip_longest(*(answer.key_frames for answer in flagged)):
        for answer, key in zip(flagged, rank, strict=True):
            if key is None or key.image not in reporting.pictures:
                continue
            if key.image in shown or len(shown) < PICTURES:
                shown.setdefault(key.image, (key.view, []))[1].append(answer.finding.name)
    return shown


def _side() -> float:
    return (ROOM - (PICTURES - 1) * GAP) / PICTURES


def _put_frames(
    sheet: Sheet,
    y: float,
    shown: Mapping[SourceImage, tuple[str, list[str]]],
    reporting: Reporting,
    numbers: Mapping[str, Dataset],
) -> None:
    side = _side()
    for column, (source, (view, names)) in enumerate(shown.items()):
        x = MARGIN + column * (side + GAP)
        sheet.box(x, y, side, side, INK)
        sheet.picture(x, y, side, reporting.pictures[source])
        under = y + side + 3
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        sheet.text(x, under, _view(view), SMALL, bold=True, room=side)
        sheet.text(x, under + leading(SMALL), f"{names[0]}{more}", SMALL, room=side)
        where = _where(source, numbers)
        sheet.text(x, under + 2 * leading(SMALL), where, SMALL, room=side, colour=QUIET)


def _where(source: SourceImage, numbers: Mapping[str, Dataset]) -> str:
    """The numbers by which a viewer finds the image."""
    image = numbers.get(source.sop_instance_uid, Dataset())
    frame = f", frame {source.frame}" if source.frame is not None else ""
    return (
        f"series {_number(image, 'SeriesNumber')}, image {_number(image, 'InstanceNumber')}" + frame
    )


def _number(image: Dataset, keyword: str) -> str:
    value: Any = image.get(keyword)
    return "?" if value in (None, "") else str(value)


# The draft impression


def _draft(assessment: Assessment) -> Iterator[Block]:
    said = letters.lines(letters.printable(" ".join(draft.sentences(assessment))), BODY, ROOM - 24)
    high = len(said) * leading(BODY) + 12
    yield _heading("Draft impression", draft.MARK)
    yield Block(high + GAP, partial(_put_draft, said=said, high=high))


def _put_draft(sheet: Sheet, y: float, said: Sequence[str], high: float) -> None:
    sheet.box(MARGIN, y, ROOM, high, PAPER, radius=3)
    sheet.box(MARGIN, y, 3, high, AMBER)
    sheet.block(MARGIN + 12, y + 6, said, BODY)


# Views and similar cases, side by side


@dataclass(frozen=True)
class Line:
    """A line of one of two columns."""

    text: str
    size: float = BODY
    bold: bool = False
    colour: str = INK


def _side_by_side(left: Sequence[Line], right: Sequence[Line]) -> Iterator[Block]:
    for pair in zip_longest(left, right):
        high = max(leading(line.size) for line in pair if line is not None)
        yield Block(
            high, partial(_put_lines, pair=pair), heads=pair[0] is not None and pair[0].bold
        )
    yield _space()


def _put_lines(sheet: Sheet, y: float, pair: Sequence[Line | None]) -> None:
    for column, line in enumerate(pair):
        if line is not None:
            x = MARGIN + column * (_column() + 2 * GAP)
            sheet.text(
                x, y, line.text, line.size, bold=line.bold, colour=line.colour, room=_column()
            )


def _column() -> float:
    return (ROOM - 2 * GAP) / 2


def _views(assessment: Assessment) -> Iterator[Line]:
    yield Line("Views used", 10, bold=True)
    for view in assessment.used:
        series = plain(view.series_description) or "series without description"
        yield Line(f"{_view(view.view)}: {series}, {_count(len(view.images), 'image')}")
    if assessment.missing:
        yield Line("Views missing", 10, bold=True)
    for gap in assessment.missing:
        yield from _wrapped(f"{_view(gap.view)}: {gap.reason}", BODY, INK)
    unused = sum(stack.images for stack in assessment.unused)
    if unused:
        stacks = _count(len(assessment.unused), "stack")
        yield Line(f"{_count(unused, 'image')} in {stacks} not looked at", SMALL, colour=QUIET)


def _similar(cases: Sequence[SimilarCase]) -> Iterator[Line]:
    yield Line("Similar cases", 10, bold=True)
    if not cases:
        yield Line("none asked for, or none in the library", colour=QUIET)
    for rank, case in enumerate(cases, start=1):
        whose = (
            f"another patient's, key {case.key}" if case.key else "an earlier study of this patient"
        )
        yield Line(f"{rank}.  {case.similarity:.2f}  {whose}")
        if case.study_uid:
            yield from _wrapped(f"study {case.study_uid}", SMALL, QUIET)


def _wrapped(text: str, size: float, colour: str) -> Iterator[Line]:
    for line in letters.lines(letters.printable(text), size, _column()):
        yield Line(line, size, colour=colour)


def _model(assessment: Assessment) -> Iterator[Block]:
    model = assessment.model
    trained = "trained" if model.trained else "UNTRAINED"
    said = [
        f"Model {model.name} {model.version}, {trained}, SHA-256 {model.digest[:16]}…;"
        f" findings SHA-256 {assessment.findings_digest[:16]}…",
        *letters.lines(letters.printable(f"Intended use: {model.intended_use}"), SMALL, ROOM),
    ]
    draw = partial(_put_model, said=said)
    yield Block(len(said) * leading(SMALL) + 6, draw)


def _put_model(sheet: Sheet, y: float, said: Sequence[str]) -> None:
    sheet.box(MARGIN, y, ROOM, 0.6, RULE)
    sheet.block(MARGIN, y + 6, said, SMALL, colour=QUIET)


# Small parts


def _heading(text: str, note: str = "") -> Block:
    return Block(17, partial(_put_heading, text=text, note=note), heads=True)


def _put_heading(sheet: Sheet, y: float, text: str, note: str) -> None:
    taken = sheet.text(MARGIN, y, text, 10.5, bold=True)
    sheet.text(MARGIN + taken + 8, y + 2.6, note, SMALL, colour=QUIET, room=ROOM - taken - 8)


def _space() -> Block:
    return Block(GAP, _nothing)


def _nothing(sheet: Sheet, y: float) -> None:
    """Draw nothing."""


def _view(name: str) -> str:
    return VIEWS.get(name, name)


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def _day(date: str) -> str:
    return f"{date[:4]}-{date[4:6]}-{date[6:]}" if date else ""


def _person(name: PersonName) -> str:
    """The name in letters, and as it is written in the East where it is (PS3.5 6.2.1)."""
    ways = [_ordered(name.alphabetic), _ordered(name.ideographic)]
    shown = [way for way in ways if way]
    return shown[0] + (f" ({shown[1]})" if len(shown) > 1 else "") if shown else ""


def _ordered(group: str) -> str:
    family, *others = (part.strip() for part in group.split("^"))
    rest = " ".join(part for part in others if part)
    return ", ".join(part for part in (family, rest) if part)
