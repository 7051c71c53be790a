"""The findings on the page: the verdict, and a row or a box for each finding.

"Flagged", "not flagged" and "not evaluated" differ in text, in form and in colour, so that a reader
with colour blindness recognises a flag. All bars of one kind of score share an axis.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import zip_longest
from math import ceil, isfinite

from triage.domain.assessment import (
    Answer,
    Assessment,
    Flag,
    Presence,
    ScoreKind,
    describe_examples,
)
from triage.reports import draft
from triage.reports import fonts as letters
from triage.reports.layout import (
    BODY,
    COLUMN,
    FAINT,
    GAP,
    MARGIN,
    RIGHT,
    ROOM,
    PageBlock,
    heading,
    space,
)
from triage.reports.sheet import (
    INK,
    PAPER,
    QUIET,
    RED,
    SLATE,
    TRACK,
    WHITE,
    Area,
    BoxStyle,
    Sheet,
    TextStyle,
    leading,
)

LEGEND = "bar: score, not a probability; line: threshold"
FEW = 14  #: up to this number, findings have tall rows in one column
VERDICT = 50.0  #: height of the verdict, points


@dataclass(frozen=True)
class ScoreAxis:
    """The scale that all bars of one kind of score share."""

    low: float
    high: float

    def at(self, value: float) -> float:
        """Return the position of `value`, 0 to 1."""
        return (value - self.low) / (self.high - self.low)


ScoreAxes = Mapping[ScoreKind, ScoreAxis]


@dataclass(frozen=True)
class RowForm:
    """The dimensions of a row, in points."""

    height: float
    name: float  #: font size of the name
    bar: float  #: height of the bar
    width: float = ROOM
    name_room: float = 0.45  #: share of the width for the name
    bar_ends: float = 0.70  #: share of the width at which the bar ends


TALL = RowForm(19, 10, 9)
MIDDLE = RowForm(15.5, 8.5, 7)
LOW = RowForm(12.4, 8, 6)
HALF = RowForm(12.4, 7.5, 6, COLUMN, 0.56, 0.72)


def verdict(assessment: Assessment) -> PageBlock:
    """Return the block with the flag of the study and the suggested priority."""
    put = {Flag.YES: _put_flagged, Flag.NO: _put_quiet, Flag.NOT_EVALUATED: _put_silent}
    return PageBlock(VERDICT + GAP, partial(put[assessment.flag], assessment=assessment))


def scales(assessment: Assessment) -> Iterator[str]:
    """Yield a line about each kind of score on the page."""
    for kind, names in _group_by_kind(assessment.answers).items():
        of = "" if kind is ScoreKind.SIMILARITY else f" of {'; '.join(names)}"
        yield f"Score{of}: {kind.scale}"


def _group_by_kind(answers: Sequence[Answer]) -> dict[ScoreKind, list[str]]:
    names: dict[ScoreKind, list[str]] = {}
    for answer in answers:
        if answer.score is not None:
            names.setdefault(answer.kind, []).append(answer.finding.name)
    return names


def axes(answers: Sequence[Answer]) -> ScoreAxes:
    """Return the axis of each kind of score."""
    return {kind: axis([a for a in answers if a.kind is kind]) for kind in ScoreKind}


def axis(answers: Sequence[Answer]) -> ScoreAxis:
    """Return a scale that contains every score and threshold, and 0."""
    numbers = [n for a in answers for n in (a.score, a.threshold) if n is not None and isfinite(n)]
    low, high = min([0.0, *numbers]), max([0.0, *numbers])
    return ScoreAxis(low * 1.08, high * 1.08 if high > 0 else 1.0)


def flagged(assessment: Assessment, scale: ScoreAxes) -> Iterator[PageBlock]:
    """Yield the flagged findings."""
    answers = [answer for answer in assessment.answers if answer.flag is Flag.YES]
    if answers:
        yield heading("Flagged", LEGEND)
        form = _fit_names(TALL if len(answers) <= FEW else LOW, answers)
        for answer in answers:
            yield PageBlock(form.height, partial(_put_row, row=(answer, scale[answer.kind], form)))
        yield space()


def not_flagged(assessment: Assessment, scale: ScoreAxes) -> Iterator[PageBlock]:
    """Yield the findings that are not flagged; many of them in two columns."""
    answers = [answer for answer in assessment.answers if answer.flag is Flag.NO]
    if not answers:
        return
    yield heading("Not flagged", "" if assessment.flag is Flag.YES else LEGEND)
    if len(answers) <= FEW:
        form = _fit_names(MIDDLE, answers)
        for answer in answers:
            yield PageBlock(form.height, partial(_put_row, row=(answer, scale[answer.kind], form)))
    else:
        half = ceil(len(answers) / 2)
        for pair in zip_longest(answers[:half], answers[half:]):
            yield PageBlock(HALF.height, partial(_put_pair, pair=pair, scale=scale))
    yield space()


def _fit_names(form: RowForm, answers: Sequence[Answer]) -> RowForm:
    """Return the form with a font size that fits the longest name, 7.5 at least."""
    room = form.width * form.name_room - 14
    names = [letters.printable(_label(answer)) for answer in answers]
    bold = answers[0].flag is Flag.YES
    sizes = [size for size in (form.name, 8.5, 7.5) if size <= form.name]
    fits = (s for s in sizes if all(letters.text_width(n, s, bold=bold) <= room for n in names))
    return replace(form, name=next(fits, 7.5))


def not_evaluated(assessment: Assessment) -> Iterator[PageBlock]:
    """Yield a box for each reason with its findings, without bars as there are no scores."""
    by_reason = draft.group_not_evaluated(assessment.answers)
    if not by_reason:
        return
    yield heading("Not evaluated", "no result: neither flagged nor ruled out")
    for reason, names in by_reason.items():
        findings = _lines("; ".join(names), BODY)
        why = _lines(f"Reason: {reason}", FAINT)
        high = len(findings) * leading(BODY.size) + len(why) * leading(FAINT.size) + 11
        yield PageBlock(high + 4, partial(_put_box, findings=findings, why=why, high=high))
    yield space()


def _lines(text: str, style: TextStyle) -> list[str]:
    return letters.wrap_lines(letters.printable(text), style.size, ROOM - 24)


def _put_flagged(sheet: Sheet, y: float, assessment: Assessment) -> None:
    sheet.box(Area(MARGIN, y, ROOM, VERDICT), BoxStyle(RED, radius=5))
    flags = [answer.flag for answer in assessment.answers]
    large = f"{flags.count(Flag.YES)} of {len(flags)} findings flagged"
    _put_words(sheet, y, (large, _coverage(assessment)), WHITE)
    _put_priority(sheet, y, ("Read sooner", "suggested priority"), TextStyle(15, WHITE, bold=True))


def _put_quiet(sheet: Sheet, y: float, assessment: Assessment) -> None:
    sheet.box(Area(MARGIN, y, ROOM, VERDICT), BoxStyle(PAPER, SLATE, radius=5))
    small = f"{_coverage(assessment)}. Not flagged does not mean absent."
    _put_words(sheet, y, ("No finding flagged", small), INK)
    _put_unchanged(sheet, y)


def _put_silent(sheet: Sheet, y: float, assessment: Assessment) -> None:
    sheet.box(Area(MARGIN, y, ROOM, VERDICT), BoxStyle(edge=QUIET, dashed=True, radius=5))
    small = f"{_coverage(assessment)}. This report makes no statement about the study."
    _put_words(sheet, y, ("Not evaluated", small), INK)
    _put_unchanged(sheet, y)


def _coverage(assessment: Assessment) -> str:
    asked = len(assessment.answers)
    silent = sum(answer.flag is Flag.NOT_EVALUATED for answer in assessment.answers)
    return f"{silent} of {asked} findings not evaluated" if silent else "All findings evaluated"


def _put_unchanged(sheet: Sheet, y: float) -> None:
    words = ("Order unchanged", "no priority suggested")
    _put_priority(sheet, y + 1, words, TextStyle(11, QUIET, bold=True))


def _put_words(sheet: Sheet, y: float, words: tuple[str, str], colour: str) -> None:
    sheet.text(MARGIN + 14, y + 7, words[0], TextStyle(18, colour, bold=True))
    sheet.text(MARGIN + 14, y + 32, words[1], TextStyle(8.5, colour))


def _put_priority(sheet: Sheet, y: float, words: tuple[str, str], style: TextStyle) -> None:
    sheet.text_before(RIGHT - 14, y + 10, words[0], style)
    sheet.text_before(RIGHT - 14, y + 32, words[1], TextStyle(8.5, style.colour))


def _put_pair(sheet: Sheet, y: float, pair: Sequence[Answer | None], scale: ScoreAxes) -> None:
    for column, answer in enumerate(pair):
        if answer is not None:
            _put_row(
                sheet, y, (answer, scale[answer.kind], HALF), MARGIN + column * (COLUMN + 2 * GAP)
            )


def _put_row(
    sheet: Sheet, y: float, row: tuple[Answer, ScoreAxis, RowForm], x: float = MARGIN
) -> None:
    """Draw name, bar, score, threshold and result of a finding."""
    answer, scale, form = row
    is_flag = answer.flag is Flag.YES
    if is_flag:
        sheet.box(Area(x, y, 4, form.bar + 3), BoxStyle(RED))
    room = form.width * form.name_room - 14
    name = TextStyle(form.name, bold=is_flag)
    sheet.text(x + 9, y, _label(answer), name, room)
    ends = (x + form.width * form.name_room, x + form.width * form.bar_ends)
    _put_bar(sheet, Area(ends[0], y + 1.5, ends[1] - ends[0], form.bar), answer, scale)
    score, threshold = draft.format_figures(answer)
    colour = RED if is_flag else INK
    sheet.text_before(ends[1] + 37, y, score, TextStyle(form.name, colour, bold=True))
    small = y + (form.name - 7) / 2
    sheet.text(ends[1] + 41, small, f"| {threshold}" if threshold else "", TextStyle(7, QUIET))
    sheet.text_before(
        x + form.width, small, _result_text(answer), TextStyle(7, colour, bold=is_flag)
    )


def _put_bar(sheet: Sheet, area: Area, answer: Answer, scale: ScoreAxis) -> None:
    x, y, wide, high = area
    sheet.box(area, BoxStyle(TRACK, radius=1.5))
    if answer.score is not None and isfinite(answer.score):
        left, right = sorted((scale.at(0), scale.at(answer.score)))
        colour = RED if answer.flag is Flag.YES else SLATE
        sheet.box(Area(x + left * wide, y, (right - left) * wide, high), BoxStyle(colour))
    if answer.threshold is not None and isfinite(answer.threshold):
        at = x + scale.at(answer.threshold) * wide
        sheet.box(Area(at - 0.7, y - 2, 1.4, high + 4), BoxStyle(INK))


def _label(answer: Answer) -> str:
    """Return the name of a finding, with the number of examples that it was fitted from."""
    fit = f" (fitted from {describe_examples(answer.examples)})" if answer.fitted else ""
    return f"{answer.finding.name}{fit}"


def _result_text(answer: Answer) -> str:
    if answer.flag is Flag.YES:
        return "FLAGGED"
    return "absent" if answer.presence is Presence.ABSENT else "not ruled out"


def _put_box(
    sheet: Sheet, y: float, findings: Sequence[str], why: Sequence[str], high: float
) -> None:
    sheet.box(Area(MARGIN, y, ROOM, high), BoxStyle(edge=QUIET, dashed=True, radius=3))
    sheet.lines(MARGIN + 12, y + 5, findings, BODY)
    sheet.lines(MARGIN + 12, y + 5 + len(findings) * leading(BODY.size), why, FAINT)
