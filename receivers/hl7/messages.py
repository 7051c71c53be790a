"""One message: who sent it, what it reports, what is stored, and how it is acknowledged.

AA is answered only after the outcomes are durable. A process that ends before that has answered
nothing, so the sender sends the message again; after it, the control ID shows that it is known.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid4

import structlog

from receivers.hl7.acknowledgement import (
    ErrorCondition,
    Hl7Header,
    MessageRefused,
    accept,
    read_header,
    refuse,
)
from receivers.hl7.reports import read_reports
from receivers.networks import is_within
from triage.cases.readings.segments import Hl7Message, parse_message
from triage.config import Hl7Settings
from triage.config.hl7 import Hl7Sender
from triage.crash_points import ReportPoint, mark_reached
from triage.domain.errors import LedgerUnavailable
from triage.domain.instance import Source
from triage.findings.extraction import OutcomeReader
from triage.ports.outcomes import Outcomes
from triage.telemetry.metrics import Metrics

log = structlog.get_logger(__name__)

TYPES = {("ORU", "R01"), ("MDM", "T02")}
ERROR, REJECT = "AE", "AR"
SEGMENTS_MAX = 20_000  #: of a message; a report has a few hundred


@dataclass(frozen=True)
class Hl7Peer:
    """The peer of a connection."""

    address: str
    certificates: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Hl7Answer:
    """The acknowledgement of a message."""

    content: bytes
    is_admitted: bool  #: the sender is permitted


class ReportStore:
    """Stores the outcomes of messages. Thread-safe."""

    def __init__(self, outcomes: Outcomes, metrics: Metrics, settings: Hl7Settings) -> None:
        self._outcomes = outcomes
        self._metrics = metrics
        self._senders: Mapping[str, Hl7Sender] = settings.senders
        self._numbers = settings.numbers
        self._reader = OutcomeReader(settings.words)

    def handle(self, content: bytes, peer: Hl7Peer) -> Hl7Answer:
        """Store a message and return its acknowledgement."""
        header, name = Hl7Header(), ""
        try:
            message = _parse(content)
            header = read_header(message)
            name = self._admit(message, peer)
            self._store(message, header, Source(name, peer.address))
        except MessageRefused as refused:
            self.report_refused(str(refused), Source(name, peer.address))
            answer = refuse(header, _new_id(), _now(), refused)
        else:
            answer = accept(header, _new_id(), _now())
        return Hl7Answer(answer, is_admitted=bool(name))

    def refuse_long(self, head: bytes, why: str, peer: Hl7Peer) -> bytes:
        """Return the acknowledgement of a message that is too long, by its beginning."""
        self.report_refused(why, Source("", peer.address))
        message = parse_message(head)
        header = Hl7Header() if message is None else read_header(message)
        refused = MessageRefused(REJECT, ErrorCondition.INTERNAL, why)
        return refuse(header, _new_id(), _now(), refused)

    def report_refused(self, why: str, source: Source) -> None:
        """Count a message or connection that was not accepted, and report it."""
        self._metrics.count_refused_message()
        log.warning("HL7 refused", why=why, address=source.address)
        try:
            self._outcomes.report_refused(f"HL7: {why}", source)
        except LedgerUnavailable as error:
            log.warning("incident not recorded", error=type(error).__name__)

    def _admit(self, message: Hl7Message, peer: Hl7Peer) -> str:
        """Return the name of the sender; raise MessageRefused if it is not permitted."""
        msh = next(message.segments())
        for name, sender in self._senders.items():
            if (
                sender.application == msh.first(3)
                and sender.facility in {None, msh.first(4)}
                and is_within(peer.address, sender.addresses)
                and (not sender.certificates or peer.certificates & set(sender.certificates))
            ):
                return name
        why = "this sending application (MSH-3, MSH-4) may not send from this address"
        raise MessageRefused(REJECT, ErrorCondition.INTERNAL, why)

    def _store(self, message: Hl7Message, header: Hl7Header, source: Source) -> None:
        _require_readable(message, header)
        reports = list(read_reports(message, self._numbers, self._reader))
        mark_reached(ReportPoint.READ)
        try:
            recorded = self._outcomes.record_message(source, header.control_id, reports)
        except LedgerUnavailable as error:
            log.warning("report not recorded", error=type(error).__name__)
            why = "the ledger does not answer: send the message again"
            raise MessageRefused(ERROR, ErrorCondition.INTERNAL, why) from None
        for result in () if recorded.is_repeated else recorded.results:
            self._metrics.count_report(result)
            log.info("report received", sender=source.calling_ae, result=str(result))


def _parse(content: bytes) -> Hl7Message:
    message = parse_message(content)
    if message is None:
        why = "the message does not begin with MSH"
        raise MessageRefused(REJECT, ErrorCondition.SEGMENT_SEQUENCE, why)
    return message


def _require_readable(message: Hl7Message, header: Hl7Header) -> None:
    """Raise MessageRefused for another type, or without what every report has."""
    msh = next(message.segments())
    kinds = msh.repetitions(9)
    kind = tuple(kinds[0][:2]) if kinds else ()
    if kind not in TYPES:
        why = "MSH-9 must be ORU R01 or MDM T02"
        raise MessageRefused(REJECT, ErrorCondition.UNSUPPORTED_TYPE, why)
    if not header.control_id:
        raise MessageRefused(ERROR, ErrorCondition.FIELD_MISSING, "MSH-10 is empty: no control ID")
    if len(message.lines) > SEGMENTS_MAX:
        why = f"the message has more than {SEGMENTS_MAX} segments"
        raise MessageRefused(ERROR, ErrorCondition.SEGMENT_SEQUENCE, why)
    names = {line[:3] for line in message.lines}
    needed = "OBR" if kind[0] == "ORU" else "TXA"
    if needed not in names:
        why = f"the message has no {needed} segment"
        raise MessageRefused(ERROR, ErrorCondition.SEGMENT_SEQUENCE, why)


def _new_id() -> str:
    return uuid4().hex[:20]


def _now() -> str:
    return datetime.now(UTC).strftime("%Y%m%d%H%M%S+0000")
