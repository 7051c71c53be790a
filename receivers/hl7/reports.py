"""Reads the reports of a message, and out of each the outcomes of the findings.

Each order (ORC, OBR) is one report; an MDM has one. A report is corrected if OBR-25 or an OBX-11 is
C, withdrawn if OBR-25 is X or all its results are deleted or wrong (tables 0123 and 0085), and
preliminary by OBR-25, OBX-11 or TXA-17 (table 0271).
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from triage.cases.readings.deidentify import deidentify
from triage.cases.readings.oru import PRELIMINARY, TEXT_TYPES, reports
from triage.cases.readings.segments import Hl7Message, Hl7Segment
from triage.domain.outcome import OutcomeStatus, ReportedOutcomes, ReportRank, ReportResult
from triage.findings.extraction import OutcomeReader

CORRECTED = "C"
CANCELLED = "X"
GONE = {"D", "W", "X"}  #: OBX-11
UNFINISHED = {"DI", "DO", "IP", "IN", "PA"}  #: TXA-17
NUMBER_MAX = 64  #: characters; a longer value is no accession number


def read_reports(
    message: Hl7Message, numbers: Sequence[str], reader: OutcomeReader
) -> Iterator[ReportedOutcomes | ReportResult]:
    """Yield the outcomes of each report, or why it has none.

    `numbers` are fields with a number of the study, best first.
    """
    for order in split_orders(message):
        yield _read_order(order, numbers, reader)


def split_orders(message: Hl7Message) -> Iterator[Hl7Message]:
    """Yield a message for each order, with the segments that all orders share."""
    common: list[str] = []
    orders: list[list[str]] = []
    has_obr = False
    for line in message.lines:
        name = line[:3]
        begins = name == "ORC" or (name == "OBR" and (has_obr or not orders))
        if begins and not (name == "OBR" and orders and not has_obr):
            orders.append([])
            has_obr = False
        has_obr = has_obr or name == "OBR"
        (orders[-1] if orders else common).append(line)
    for order in orders or [[]]:
        yield replace(message, lines=(*common, *order))


def _read_order(
    order: Hl7Message, numbers: Sequence[str], reader: OutcomeReader
) -> ReportedOutcomes | ReportResult:
    segments = list(order.segments())
    results = {s.first(11).upper() for s in segments if _is_text(s)}
    ordered = {s.first(25).upper() for s in segments if s.name == "OBR"}
    is_withdrawn = CANCELLED in ordered or (bool(results) and results <= GONE)
    if not is_withdrawn and _is_preliminary(segments, ordered, results):
        return ReportResult.PRELIMINARY
    report = next(reports(order, keyed=False), None)
    if report is None and not is_withdrawn:
        return ReportResult.OWN if results else ReportResult.NO_IMPRESSION
    impression = None if report is None else report.impression
    if impression is None and not is_withdrawn:
        return ReportResult.NO_IMPRESSION
    text = deidentify(impression, report.known) if impression and report else ""
    found = [o for o in reader.read(text) if o.status is not OutcomeStatus.NOT_MENTIONED]
    also = "" if report is None else report.accession  # from an OBX
    is_corrected = CORRECTED in ordered | results or is_withdrawn
    return ReportedOutcomes(
        study_uid=report.study_uid if report else "",
        accessions=list(dict.fromkeys(_numbers(segments, numbers, also))),
        outcomes=found,
        rank=ReportRank.CORRECTED if is_corrected else ReportRank.FINAL,
        moment=(report.moment if report else "")[:32],
        is_withdrawn=is_withdrawn,
    )


def _is_text(segment: Hl7Segment) -> bool:
    return segment.name == "OBX" and segment.first(2).upper() in TEXT_TYPES


def _is_preliminary(segments: Sequence[Hl7Segment], ordered: set[str], results: set[str]) -> bool:
    documents = {s.first(17).upper() for s in segments if s.name == "TXA"}
    stated = ordered - {""}
    return bool(
        stated & PRELIMINARY or documents & UNFINISHED or (not stated and results & PRELIMINARY)
    )


def _numbers(segments: Sequence[Hl7Segment], fields: Sequence[str], also: str) -> Iterator[str]:
    for field in fields:
        name, _, number = field.partition("-")
        for segment in segments:
            value = segment.first(int(number)) if segment.name == name else ""
            if value and len(value) <= NUMBER_MAX:
                yield value
    if also and len(also) <= NUMBER_MAX:
        yield also
