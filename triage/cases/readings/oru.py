"""Reads reports from HL7 v2 ORU^R01 messages in files (HL7 2.5.1 chapter 7).

Each order (OBR) is one report. Its accession number is OBR-18 (IHE RAD TF-2 4.28), else IPC-1, else
in an OBX; the filler's order number OBR-3 is read as well, because many sites use it as accession
number. The Study Instance UID is ZDS-1, IPC-3 or an OBX (110180, DCM). A message with the worker's
own codes is not a radiologist's report and is skipped.

The text is OBX-5 of types TX, FT and ST. An OBX whose identifier means "impression" (19005-8, or
the suffix &IMP) is used as it is; in other text, headings mark the impression. RTF and HTML are
skipped, because without plain lines there are no headings.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from sys import intern

from triage.cases.readings.headings import STRONG_HEADINGS, normalised
from triage.cases.readings.identifiers import Identifiers
from triage.cases.readings.impression import impression_of, stated_impression
from triage.cases.readings.reading_report import ReadingReport
from triage.cases.readings.segments import Hl7Message, Hl7Segment, read_messages

OURS = "99CMRTRIAGE"  #: the worker's private coding scheme; a test compares it with the reports'
STUDY_UID, ACCESSION = "110180", "121022"  #: DCM, PS3.16
IMPRESSIONS = {"19005-8", "121072", "121073"}  #: LOINC, and DCM twice
TEXT_TYPES = {"TX", "FT", "ST"}
NOT_A_RESULT = {"D", "W", "X", "N"}  #: OBX-11 and OBR-25, tables 0085 and 0123
PRELIMINARY = {"P", "R", "S", "I", "O", "A"}  #: OBR-25, table 0123
_UID = re.compile(r"[0-9]+(?:\.[0-9]+){3,}")
_MARKUP = re.compile(r"\s*(?:\{\\rtf|<(?:html|!doctype|\?xml))", re.IGNORECASE)

#: Fields of persons (XPN and XCN), numbers, dates of birth and addresses.
NAMES = {
    "PID": (5, 6, 9),
    "NK1": (2,),
    "PV1": (7, 8, 9, 17, 52),
    "ORC": (10, 11, 12, 19),
    "OBR": (10, 16, 28, 32, 33, 34, 35),
    "OBX": (16,),
}
NUMBERS = {
    "PID": (2, 3, 4, 13, 14, 18, 19, 20),
    "PV1": (19, 50),
    "ORC": (2, 3, 14),
    "OBR": (2, 3, 18, 19, 20, 21),
    "IPC": (1, 2, 4),
}
PLACES = {"MSH": (4, 6), "PID": (11, 23), "PV1": (3,), "ORC": (21, 22, 23, 24), "OBX": (23, 24)}


@dataclass
class _Order:
    """The fields of one OBR and its segments, collected while reading."""

    accession: str = ""
    filler: str = ""
    study_uid: str = ""
    status: str = ""  #: OBR-25
    moment: str = ""  #: OBR-22
    impression: list[str] = field(default_factory=list)  #: lines labelled as impression
    lines: list[str] = field(default_factory=list)  #: all other lines


def read_oru(path: Path) -> Iterator[tuple[int, ReadingReport]]:
    """Yield each report with the number of the segment on which its message begins."""
    for message in read_messages(path):
        for report in reports(message):
            yield message.line, report


def reports(message: Hl7Message, *, keyed: bool = True) -> Iterator[ReadingReport]:
    """Yield the reports of a message; none if it is no result, or written by a machine.

    `keyed`: only reports with an accession number, filler's order number or study UID.
    """
    segments = list(message.segments())
    kinds = segments[0].repetitions(9)
    if (kinds and kinds[0][0] not in {"ORU", "MDM", ""}) or _is_ours(segments):
        return
    known = _identifiers(segments)
    patient_ids = tuple(
        dict.fromkeys(
            parts[0] for s in segments if s.name == "PID" for parts in s.repetitions(3) if parts[0]
        )
    )
    orders = [_Order()]
    for segment in segments:
        if segment.name == "OBR":
            orders.append(_Order())
        _take(orders[-1], segment)
    sent = segments[0].first(7)
    for order in orders:
        is_keyed = order.accession or order.filler or order.study_uid
        if is_keyed or (not keyed and (order.impression or order.lines)):
            yield _report(order, known, patient_ids, sent)


def _take(order: _Order, segment: Hl7Segment) -> None:
    if segment.name == "OBR":
        order.accession, order.filler = segment.first(18), segment.first(3)
        order.status, order.moment = segment.first(25).upper(), segment.first(22)
    elif segment.name == "ZDS":
        order.study_uid = _uid(segment.raw(1))
    elif segment.name == "IPC":
        order.accession = order.accession or segment.first(1)
        order.study_uid = order.study_uid or _uid(segment.raw(3))
    elif segment.name == "OBX":
        _take_observation(order, segment)


def _take_observation(order: _Order, obx: Hl7Segment) -> None:
    codes = {code for components in obx.repetitions(3) for code in components}
    if obx.first(11).upper() in NOT_A_RESULT:
        return
    if STUDY_UID in codes:
        order.study_uid = order.study_uid or _uid(obx.raw(5))
    elif ACCESSION in codes:
        order.accession = order.accession or obx.first(5)
    elif obx.first(2).upper() in TEXT_TYPES:
        lines = [obx.text(line) for line in obx.raw(5).split(obx.message.signs[1])]
        if _MARKUP.match(lines[0]):
            return
        (order.impression if _is_impression(obx, codes) else order.lines).extend(lines)


def _is_impression(obx: Hl7Segment, codes: set[str]) -> bool:
    if codes & IMPRESSIONS or any(normalised(code) in STRONG_HEADINGS for code in codes):
        return True
    # Suffixes of observation identifiers (7.2.4): 71250&IMP.
    sub = obx.message.signs[3]
    return any(code.split(sub)[-1].upper() == "IMP" for code in codes)


def _report(
    order: _Order, known: Identifiers, patient_ids: tuple[str, ...], sent: str
) -> ReadingReport:
    text = stated_impression("\n".join(order.impression)) or impression_of("\n".join(order.lines))
    return ReadingReport(
        study_uid=order.study_uid,
        accession=order.accession,
        filler=order.filler,
        impression=None if order.status in NOT_A_RESULT else text,
        patient_ids=patient_ids,
        final=order.status not in PRELIMINARY,
        moment=re.sub(r"\D.*", "", order.moment or sent),
        known=known,
    )


def _uid(value: str) -> str:
    found = _UID.search(value)
    return found.group() if found else ""


def _is_ours(segments: list[Hl7Segment]) -> bool:
    """Return whether a message has the worker's own codes."""
    return any(
        OURS in components
        for segment in segments
        if segment.name == "OBX"
        for field_number in (3, 5)
        for components in segment.repetitions(field_number)
    )


def _identifiers(segments: list[Hl7Segment]) -> Identifiers:
    names, numbers, places, dates = set[str](), set[str](), set[str](), set[str]()
    for segment in segments:
        for number in NAMES.get(segment.name, ()):
            names |= set(map(_name, segment.repetitions(number)))
        for number in NUMBERS.get(segment.name, ()):
            numbers |= {parts[0] for parts in segment.repetitions(number)}
        for number in PLACES.get(segment.name, ()):
            places |= {", ".join(filter(None, parts[:6])) for parts in segment.repetitions(number)}
        if segment.name == "PID":
            dates.add(segment.first(7)[:8])
    # Many reports share readers and hospitals: interned strings are in memory once.
    return Identifiers(
        *(tuple(map(intern, sorted(values - {""}))) for values in (names, numbers, dates, places))
    )


def _name(parts: list[str]) -> str:
    """Return family^given^middle of an XPN, or of an XCN, whose first component is a number.

    In OBR-32 to 35 (NDL) the parts of a name are sub-components; all of them are used.
    """
    words = [word for part in parts[:4] for word in re.split(r"[&\s]+", part)]
    return "^".join(word for word in words if word and not re.search(r"\d", word))
