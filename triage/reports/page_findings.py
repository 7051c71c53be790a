"""The findings on the page: the verdict, and a row or a box for each finding.

"Flagged", "not flagged" and "not evaluated" differ in text, in form and in colour, so that a reader
with colour blindness recognises a flag. All bars of one kind of score share an axis. Below a flag
stands what its threshold achieved where it was measured, if the bundle states it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import isfinite

from triage.domain.assessment import (
    Answer,
    Assessment,
    Flag,
    Presence,
    ScoreKind,
    describe_examples,
)
from triage.domain.performance import Performance
from triage.reports import draft
from triage.reports import fonts as letters
from triage.reports.layout import (
    BODY,
    FAINT,
    GAP,
    LEAST_GAP,
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
NOT_MEASURED = "No measured sensitivity and specificity are stated"
PERFORMANCE = 10.5  #: height of the line with the figures of a threshold, points
TALL_UP_TO = 4  #: with more flags, their rows are lower, so that the page stays one page
FEW = 14  #: with more findings, their rows are low and have no figures below them
BAR = (MARGIN + 0.45 * ROOM, MARGIN + 0.70 * ROOM)  #: x at which bars begin and end
VERDICT = 46.0  #: height of the verdict, points


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
    slack: float = 0.0  #: part of the height that may be left out


TALL = RowForm(19, 10, 9, slack=4)
MIDDLE = RowForm(15.5, 8.5, 7, slack=3)
LOW = RowForm(12.4, 8, 6)


def verdict(assessment: Assessment) -> PageBlock:
    """Return the block with the flag of the study and the suggested priority."""
    put = {Flag.YES: _put_flagged, Flag.NO: _put_quiet, Flag.NOT_EVALUATED: _put_silent}
    draw = partial(put[assessment.flag], assessment=assessment)
    return PageBlock(VERDICT + GAP, draw, slack=GAP - LEAST_GAP)


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
    """Yield the flagged findings, each with what its threshold achieved unless they are many."""
    answers = [answer for answer in assessment.answers if answer.flag is Flag.YES]
    if answers:
        yield heading("Flagged", LEGEND)
        are_few = len(answers) <= FEW
        yield from _rows(answers, _flag_form(len(answers)), scale, with_figures=are_few)
        yield space()


def not_flagged(assessment: Assessment, scale: ScoreAxes) -> Iterator[PageBlock]:
    """Yield the findings that are not flagged; many of them in low rows.

    On a study without flags, what matters is how many findings the thresholds miss.
    """
    answers = [answer for answer in assessment.answers if answer.flag is Flag.NO]
    if not answers:
        return
    is_quiet = assessment.flag is Flag.NO
    yield heading("Not flagged", LEGEND if is_quiet else "")
    are_few = len(answers) <= FEW
    form = MIDDLE if are_few else LOW
    yield from _rows(answers, form, scale, with_figures=is_quiet and are_few)
    yield space()


def _flag_form(flags: int) -> RowForm:
    if flags > FEW:
        return LOW
    return TALL if flags <= TALL_UP_TO else MIDDLE


def _rows(
    answers: Sequence[Answer], form: RowForm, scale: ScoreAxes, *, with_figures: bool
) -> Iterator[PageBlock]:
    """Yield a row for each answer, and the figures of its threshold below it if asked for."""
    fitting = _fit_names(form, answers)
    for answer in answers:
        draw = partial(_put_row, row=(answer, scale[answer.kind], fitting))
        yield PageBlock(fitting.height, draw, slack=fitting.slack)
        if with_figures and answer.performance is not None:
            line = _performance_text(answer.performance)
            yield PageBlock(PERFORMANCE, partial(_put_performance, line=line))
    if with_figures:
        yield from _measured(answers)


def _performance_text(found: Performance) -> str:
    return (
        f"AUC {found.auc} · sensitivity {found.sensitivity} · specificity {found.specificity}"
        f" · {found.positives} of {found.studies} studies had it"
    )


def _put_performance(sheet: Sheet, y: float, line: str) -> None:
    sheet.text(MARGIN + 9, y - 2.5, line, FAINT, ROOM - 9)


def _measured(answers: Sequence[Answer]) -> Iterator[PageBlock]:
    """Yield on which studies the figures were measured, or that the bundle states none."""
    by_origin: dict[str, list[str]] = {}
    for answer in answers:
        by_origin.setdefault(_describe_origin(answer), []).append(answer.finding.name)
    for origin, names in by_origin.items():
        of = f" of {'; '.join(names)}" if len(by_origin) > 1 else ""
        text = origin.format(of=of)
        for line in letters.wrap_lines(letters.printable(text), FAINT.size, ROOM):
            yield PageBlock(leading(FAINT.size), partial(_put_faint, line=line))


def _describe_origin(answer: Answer) -> str:
    """Return where the figures or the threshold come from, with a place `{of}` for findings."""
    if answer.performance is not None:
        studies = answer.performance.measured_on
        return f"Figures{{of}} at the threshold, with 95 % intervals, measured on {studies}"
    if answer.target is not None:
        return f"{answer.target.origin}{{of}}".capitalize()
    return f"{NOT_MEASURED}{{of}}"


def _put_faint(sheet: Sheet, y: float, line: str) -> None:
    sheet.text(MARGIN, y, line, FAINT, ROOM)


def _fit_names(form: RowForm, answers: Sequence[Answer]) -> RowForm:
    """Return the form with a font size that fits the longest name, 7.5 at least."""
    room = BAR[0] - MARGIN - 14
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
    near = sum(answer.is_near_miss for answer in assessment.answers)
    evaluated = (
        f"{silent} of {asked} findings not evaluated" if silent else "All findings evaluated"
    )
    return f"{evaluated}, {near} {draft.NEAR_MISS}" if near else evaluated


def _put_unchanged(sheet: Sheet, y: float) -> None:
    words = ("Order unchanged", "no priority suggested")
    _put_priority(sheet, y + 1, words, TextStyle(11, QUIET, bold=True))


def _put_words(sheet: Sheet, y: float, words: tuple[str, str], colour: str) -> None:
    sheet.text(MARGIN + 14, y + 7, words[0], TextStyle(18, colour, bold=True))
    sheet.text(MARGIN + 14, y + 32, words[1], TextStyle(8.5, colour))


def _put_priority(sheet: Sheet, y: float, words: tuple[str, str], style: TextStyle) -> None:
    sheet.text_before(RIGHT - 14, y + 10, words[0], style)
    sheet.text_before(RIGHT - 14, y + 32, words[1], TextStyle(8.5, style.colour))


def _put_row(sheet: Sheet, y: float, row: tuple[Answer, ScoreAxis, RowForm]) -> None:
    """Draw name, bar, score, threshold and result of a finding."""
    answer, scale, form = row
    is_flag = answer.flag is Flag.YES
    if is_flag:
        sheet.box(Area(MARGIN, y, 4, form.bar + 3), BoxStyle(RED))
    room = BAR[0] - MARGIN - 14
    name = TextStyle(form.name, bold=is_flag)
    sheet.text(MARGIN + 9, y, _label(answer), name, room)
    begins, ends = BAR
    _put_bar(sheet, Area(begins, y + 1.5, ends - begins, form.bar), answer, scale)
    score, threshold = draft.format_figures(answer)
    colour = RED if is_flag else INK
    sheet.text_before(ends + 37, y, score, TextStyle(form.name, colour, bold=True))
    small = y + (form.name - 7) / 2
    sheet.text(ends + 41, small, f"| {threshold}" if threshold else "", TextStyle(7, QUIET))
    sheet.text_before(
        RIGHT,
        small,
        _result_text(answer),
        TextStyle(7, colour, bold=is_flag or answer.is_near_miss),
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
    if answer.is_near_miss:
        return draft.NEAR_MISS
    # "Not ruled out" stands in the draft impression, once for all findings.
    return "absent" if answer.presence is Presence.ABSENT else ""


def _put_box(
    sheet: Sheet, y: float, findings: Sequence[str], why: Sequence[str], high: float
) -> None:
    sheet.box(Area(MARGIN, y, ROOM, high), BoxStyle(edge=QUIET, dashed=True, radius=3))
    sheet.lines(MARGIN + 12, y + 5, findings, BODY)
    sheet.lines(MARGIN + 12, y + 5 + len(findings) * leading(BODY.size), why, FAINT)
