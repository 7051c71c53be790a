"""The report page, which a radiologist reads in ten seconds, as a PDF.

Flags come first, on page one; only the intended use of the model and a note on the whole study are
above them. Content that does not fit goes to another page and is never dropped. A case of another
patient shows rank, similarity and key only, unless the site allows its UID. The foot of every sheet
states which study it is, when the page was made, and what it replaces.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import zip_longest

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.valuerep import PersonName

from triage.domain.assessment import (
    Assessment,
    Flag,
    SimilarCase,
    SourceImage,
    format_share,
)
from triage.domain.reasons import ReasonCode, because
from triage.reports import draft, header, page_findings, views
from triage.reports import fonts as letters
from triage.reports.content import one_line
from triage.reports.document import TITLE
from triage.reports.document_version import DocumentVersion
from triage.reports.layout import (
    BODY,
    FAINT,
    GAP,
    HEADING,
    MARGIN,
    RIGHT,
    ROOM,
    SMALL,
    TOP,
    ColumnLine,
    PageBlock,
    heading,
    paginate,
    side_by_side,
    space,
    wrap,
)
from triage.reports.reporting import Reporting
from triage.reports.sheet import (
    AMBER,
    HEIGHT,
    INK,
    PAPER,
    QUIET,
    RULE,
    WIDTH,
    Area,
    BoxStyle,
    Sheet,
    TextStyle,
    leading,
)

BANNER = "RESEARCH USE ONLY: unverified AI output, not for diagnosis or treatment"
FEW = 4  #: up to this number, each sentence begins a new line
PICTURES = 5  #: most pictures on the page; the Key Object Selection has all key frames
NOTE = TextStyle(11, bold=True)  #: of the note above all results
CAPTION_LINES = 3  #: most lines for the findings below a picture
SIDE = (ROOM - (PICTURES - 1) * GAP) / PICTURES  #: side of a picture, points
Shown = dict[SourceImage, tuple[str, list[str]]]  #: view and findings by picture


def render(reporting: Reporting, version: DocumentVersion | None = None) -> bytes:
    """Return the page as a PDF; without a version, as it is before it has one.

    Raises:
        StudyDeclined: The evidence shows more than one patient.
        ValueError: The evidence is not that of the assessment.
    """
    with header.ignore_value_warnings():
        images = header.checked_evidence(reporting.evidence, reporting.assessment)
        patient = header.patient_and_study_header(images)
        sheet = Sheet(TITLE)
        pages = paginate(list(_blocks(reporting, images)))
        for number, blocks in enumerate(pages, start=1):
            _put_head(sheet, patient)
            y = TOP
            for block in blocks:
                block.draw(sheet, y)
                y += block.height
            _put_foot(sheet, reporting, f"page {number} of {len(pages)}", version)
            sheet.turn()
        return sheet.finish()


def _blocks(reporting: Reporting, images: Sequence[Dataset]) -> Iterator[PageBlock]:
    assessment = reporting.assessment
    scale = page_findings.axes(assessment.answers)
    yield _intended_use(assessment)
    yield from _note(assessment)
    yield page_findings.verdict(assessment)
    yield from page_findings.flagged(assessment, scale)
    yield from _key_frames(reporting, images)
    yield from _draft(assessment)
    yield from page_findings.not_flagged(assessment, scale)
    yield from page_findings.not_evaluated(assessment)
    yield from side_by_side(*_columns(assessment))
    yield space()
    yield _model(assessment)


def _intended_use(assessment: Assessment) -> PageBlock:
    text = letters.printable(f"Intended use of the model: {assessment.model.intended_use}")
    lines = letters.wrap_lines(text, FAINT.size, ROOM)
    return PageBlock(len(lines) * leading(FAINT.size) + 6, partial(_put_use, lines=lines))


def _put_use(sheet: Sheet, y: float, lines: Sequence[str]) -> None:
    sheet.lines(MARGIN, y - 4, lines, FAINT)


def _note(assessment: Assessment) -> Iterator[PageBlock]:
    """Yield the note above all results: why there is none, or why flags mean little."""
    if assessment.note:
        text = letters.printable(assessment.note)
        lines = letters.wrap_lines(text, NOTE.size, ROOM - 28, bold=True)
        high = len(lines) * leading(NOTE.size) + 14
        yield PageBlock(high + GAP, partial(_put_note, lines=lines, high=high))


def _put_note(sheet: Sheet, y: float, lines: Sequence[str], high: float) -> None:
    sheet.box(Area(MARGIN, y, ROOM, high), BoxStyle(AMBER, INK, radius=5))
    sheet.lines(MARGIN + 14, y + 7, lines, NOTE)


def _put_head(sheet: Sheet, patient: Dataset) -> None:
    """Draw banner and patient on every sheet, because printed sheets may be separated."""
    sheet.box(Area(0, 0, WIDTH, 24), BoxStyle(AMBER))
    sheet.text(MARGIN, 7.6, BANNER, TextStyle(9, bold=True), ROOM)
    left, right = ROOM * 0.62, ROOM * 0.36
    name = _format_name(patient.PatientName) or "name missing"
    sheet.text(MARGIN, 35, name, TextStyle(13, bold=True), left)
    quiet = TextStyle(8.5, QUIET)
    born = f"born {_format_day(patient.PatientBirthDate) or 'unknown'}"
    sex = f"sex {patient.PatientSex or 'unknown'}"
    details = (f"ID {patient.PatientID or 'missing'}", born, sex)
    sheet.text(MARGIN, 56, "  ·  ".join(details), quiet, left)
    description = patient.get("StudyDescription") or "Cardiac MRI"
    sheet.text_before(RIGHT, 37, description, TextStyle(9.5, bold=True), right)
    day = _format_day(patient.StudyDate) or "unknown date"
    sheet.text_before(RIGHT, 51, f"study of {day}", quiet, right)
    sheet.text_before(RIGHT, 63, f"accession {patient.AccessionNumber or 'missing'}", quiet, right)
    sheet.box(Area(MARGIN, 80, ROOM, 0.8), BoxStyle(RULE))


def _put_foot(
    sheet: Sheet, reporting: Reporting, page: str, version: DocumentVersion | None
) -> None:
    y, small = HEIGHT - 31, TextStyle(7, QUIET)
    if sheet.left_out:
        note = f"{letters.UNPRINTED} marks characters that this page cannot print"
        sheet.text(MARGIN, y - 11, note, TextStyle(7.5, bold=True))
    sheet.box(Area(MARGIN, y, ROOM, 0.6), BoxStyle(RULE))
    by = reporting.equipment
    author = f"{by.manufacturer}: {by.name} {by.software_version}, site {by.serial}"
    sheet.text(MARGIN, y + 4, author, small, ROOM - 200)
    made = f", made {version.made_at:%Y-%m-%d %H:%M %z}" if version else ""
    edition = f"revision {reporting.assessment.revision}, {page}{made}"
    sheet.text_before(RIGHT, y + 4, edition, small)
    below = y + 4 + leading(small.size)
    sheet.text(MARGIN, below, f"study {reporting.assessment.study_uid}", small)
    if version and version.replaces:
        sheet.text_before(RIGHT, below, f"replaces {version.replaces.sop_instance_uid}", small)


def _key_frames(reporting: Reporting, images: Sequence[Dataset]) -> Iterator[PageBlock]:
    shown = _choose_pictures(reporting)
    if shown:
        yield heading("Key frames", "images with the most influence on each flag")
        captions = [
            _caption(view, names, _image_number(source, images))
            for source, (view, names) in shown.items()
        ]
        pictures = [reporting.pictures[source] for source in shown]
        draw = partial(_put_frames, pictures=list(zip(pictures, captions, strict=True)))
        yield PageBlock(SIDE + 7 + max(map(len, captions)) * leading(SMALL.size), draw)
    bare = list(_bare_flags(reporting.assessment))
    if bare and not shown:
        yield heading("Key frames")
    yield from bare
    if shown or bare:
        yield space()


def _bare_flags(assessment: Assessment) -> Iterator[PageBlock]:
    """Yield a line for the flags that have no key frame, by reason."""
    by_reason: dict[ReasonCode, list[str]] = {}
    for answer in assessment.answers:
        if answer.flag is Flag.YES and answer.why_no_key_frames is not None:
            by_reason.setdefault(answer.why_no_key_frames, []).append(answer.finding.name)
    for reason, names in by_reason.items():
        text = letters.printable(f"{'; '.join(names)}: {because(reason)}.")
        for line in letters.wrap_lines(text, BODY.size, ROOM):
            yield PageBlock(leading(BODY.size), partial(_put_plain, line=line))


def _put_plain(sheet: Sheet, y: float, line: str) -> None:
    sheet.text(MARGIN, y, line, BODY)


def _choose_pictures(reporting: Reporting) -> Shown:
    """Return the frames to show: the first of each flagged finding, then the second of each..."""
    shown: Shown = {}
    flagged = [a for a in reporting.assessment.answers if a.flag is Flag.YES]
    for rank in zip_longest(*(answer.key_frames for answer in flagged)):
        for answer, key in zip(flagged, rank, strict=True):
            if key is None or key.image not in reporting.pictures:
                continue
            if key.image in shown or len(shown) < PICTURES:
                shown.setdefault(key.image, (key.view, []))[1].append(answer.finding.name)
    return shown


def _caption(view: str, names: Sequence[str], place: str) -> list[ColumnLine]:
    """Return the view, its findings as far as they fit, and the number of the image."""
    title = TextStyle(SMALL.size, bold=True)
    return [
        *(ColumnLine(line, title) for line in _wrap_caption(views.view_title(view), bold=True)),
        *(ColumnLine(line, SMALL) for line in _finding_lines(names)),
        ColumnLine(place, FAINT),
    ]


def _finding_lines(names: Sequence[str]) -> list[str]:
    """Return each name in its own lines; with too many, the number of the remaining ones."""
    lines = _wrap_caption(names[0])
    for number, name in enumerate(names[1:], start=1):
        longer = [*lines, *_wrap_caption(name)]
        if len(longer) + (number < len(names) - 1) > CAPTION_LINES:
            return [*lines, f"and {_count(len(names) - number, 'other finding')}"]
        lines = longer
    return lines


def _wrap_caption(text: str, *, bold: bool = False) -> list[str]:
    return letters.wrap_lines(letters.printable(text), SMALL.size, SIDE, bold=bold)


def _put_frames(
    sheet: Sheet, y: float, pictures: Sequence[tuple[NDArray[np.uint8], Sequence[ColumnLine]]]
) -> None:
    for column, (picture, caption) in enumerate(pictures):
        x = MARGIN + column * (SIDE + GAP)
        sheet.box(Area(x, y, SIDE, SIDE), BoxStyle(INK))
        sheet.picture(x, y, SIDE, picture)
        for number, line in enumerate(caption):
            under = y + SIDE + 3 + number * leading(SMALL.size)
            sheet.text(x, under, line.text, line.style, SIDE)


def _image_number(source: SourceImage, images: Sequence[Dataset]) -> str:
    """Return the numbers by which a viewer finds the image."""
    of = next((i for i in images if i.SOPInstanceUID == source.sop_instance_uid), Dataset())
    numbers = [
        ("series", of.get("SeriesNumber")),
        ("image", of.get("InstanceNumber")),
        ("frame", source.frame),
    ]
    return ", ".join(f"{name} {number}" for name, number in numbers if number is not None)


def _draft(assessment: Assessment) -> Iterator[PageBlock]:
    """Yield the draft: few sentences below one another, or many in one paragraph."""
    yield heading("Draft impression", draft.MARK)
    sentences = draft.sentences(assessment)
    for part in sentences if len(sentences) <= FEW else [" ".join(sentences)]:
        lines = letters.wrap_lines(letters.printable(part), BODY.size, ROOM - 24)
        for line in lines:
            high = leading(BODY.size) + (3 if line is lines[-1] else 0)
            yield PageBlock(high, partial(_put_line, line=line, high=high))
    yield space()


def _put_line(sheet: Sheet, y: float, line: str, high: float) -> None:
    sheet.box(Area(MARGIN, y, ROOM, high), BoxStyle(PAPER))
    sheet.box(Area(MARGIN, y, 3, high), BoxStyle(AMBER))
    sheet.text(MARGIN + 12, y + 2, line, BODY)


def _columns(assessment: Assessment) -> tuple[list[ColumnLine], list[ColumnLine]]:
    """Return the views and, in the second column, similar cases or else missing views."""
    used = list(_used(assessment))
    similar = list(_similar(assessment.similar, assessment.why_none_similar))
    if assessment.similar:
        return [*used, ColumnLine(""), *_missing(assessment, 0)], similar
    missing = list(_missing(assessment, 1))
    return used, [*missing, ColumnLine(""), *similar] if similar else missing


def _used(assessment: Assessment) -> Iterator[ColumnLine]:
    yield ColumnLine("Views used", HEADING)
    for view in assessment.used:
        series = one_line(view.series_description) or "series without description"
        used = f"{views.view_title(view.view)}: {series}, {_count(len(view.images), 'image')}"
        yield from wrap(used, SMALL)


def _missing(assessment: Assessment, column: int) -> Iterator[ColumnLine]:
    yield ColumnLine("Views missing", HEADING)
    by_reason: dict[str, list[str]] = {}
    for gap in assessment.missing:
        by_reason.setdefault(gap.reason, []).append(views.view_title(gap.view))
    for reason, titles in by_reason.items():
        yield from wrap(f"{'; '.join(titles)}: {reason}", SMALL, column)
    if not assessment.missing:
        yield ColumnLine("none", SMALL)
    unused = sum(stack.images for stack in assessment.unused)
    if unused:
        stacks = _count(len(assessment.unused), "stack")
        yield ColumnLine(f"{_count(unused, 'image')} in {stacks} not used", FAINT)


def _similar(cases: Sequence[SimilarCase], why_none: str) -> Iterator[ColumnLine]:
    if cases or why_none:
        yield ColumnLine("Similar cases", HEADING)
    for rank, case in enumerate(cases, start=1):
        # Only cases of the same patient have no key.
        patient = f"another patient, key {case.key}" if case.key else "this patient"
        yield from wrap(f"{rank}.  {case.similarity:.2f}  {patient}", SMALL, 1)
        if case.likeness is not None:
            yield ColumnLine(
                f"more similar than {format_share(case.likeness)} of random pairs", FAINT
            )
        if case.study_uid:
            yield from wrap(f"study {case.study_uid}", FAINT, 1)
    if why_none:
        yield from wrap(why_none, FAINT, 1)


def _model(assessment: Assessment) -> PageBlock:
    model = assessment.model
    trained = "trained" if model.trained else "UNTRAINED"
    digests = f"SHA-256 {model.digest[:16]}…; findings SHA-256 {assessment.findings_digest[:16]}…"
    lines = [
        f"Model {model.name} {model.version}, {trained}, {digests}",
        *_versions(assessment),
        *_familiar(assessment),
        *page_findings.scales(assessment),
    ]
    return PageBlock(len(lines) * leading(7.5) + 6, partial(_put_model, lines=lines))


def _versions(assessment: Assessment) -> Sequence[str]:
    """Return which versions of the findings the page shows, if the ledger keeps versions."""
    versions = ", ".join(assessment.finding_versions)
    return letters.wrap_lines(f"Finding versions: {versions}", FAINT.size, ROOM) if versions else ()


def _familiar(assessment: Assessment) -> Iterator[str]:
    found = assessment.familiarity
    if found is not None:
        like = "Like" if found.is_known else "Unlike"
        strangest = views.view_title(found.strangest_view)
        known = f"{like} the studies the model was trained on: {found.figures}"
        yield f"{known}; least familiar view: {strangest}"


def _put_model(sheet: Sheet, y: float, lines: Sequence[str]) -> None:
    sheet.box(Area(MARGIN, y, ROOM, 0.6), BoxStyle(RULE))
    sheet.lines(MARGIN, y + 6, lines, FAINT)


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def _format_day(date: str) -> str:
    return f"{date[:4]}-{date[4:6]}-{date[6:]}" if date else ""


def _format_name(name: PersonName) -> str:
    """Return the alphabetic and, in brackets, the ideographic representation (PS3.5 6.2.1)."""
    latin, eastern = (_parts(group) for group in (name.alphabetic, name.ideographic))
    first = ", ".join(part for part in (latin[0], " ".join(latin[1:])) if part)
    second = " ".join(eastern).strip()
    return f"{first} ({second})" if first and second else first or second


def _parts(group: str) -> list[str]:
    """Return the family name, then the other parts that are not blank."""
    family, *others = (part.strip() for part in group.split("^"))
    return [family, *(part for part in others if part)]
