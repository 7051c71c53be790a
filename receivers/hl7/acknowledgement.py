"""Acknowledgements in original mode (HL7 v2.5.1, 2.9.2 and 2.9.3).

    AA  the outcomes are durable in the ledger, or there is nothing to store and a resend would not
        change that: the study is not here, the report is preliminary, or it has come before
    AE  an error in the content, or the ledger does not answer: to be corrected, or sent again
    AR  a message that is never accepted: another type, sender, or no HL7

2.9.2 allows AR for a system that is down as well. Interface engines usually give a message up after
AR and send it again after AE, so a ledger that does not answer is AE.
"""

from dataclasses import dataclass
from enum import Enum

from triage.cases.readings.segments import Hl7Message, Hl7Segment

APPLICATION = "CMRTRIAGE"
VERSION = "2.5.1"
ID_MAX = 199  #: characters of MSH-10
#: Separators of messages that state none.
USUAL = "|^~\\&"


class ErrorCondition(Enum):
    """The error of a message: code and text of HL7 table 0357."""

    SEGMENT_SEQUENCE = ("100", "Segment sequence error")
    FIELD_MISSING = ("101", "Required field missing")
    UNSUPPORTED_TYPE = ("200", "Unsupported message type")
    INTERNAL = ("207", "Application internal error")


class MessageRefused(Exception):
    """A message is not accepted; the sentence names no patient."""

    def __init__(self, code: str, condition: ErrorCondition, why: str) -> None:
        super().__init__(why)
        self.code = code
        self.condition = condition


@dataclass(frozen=True)
class Hl7Header:
    """The fields of MSH that an acknowledgement repeats, and the separators of the message."""

    separators: str = USUAL  #: MSH-1 and MSH-2
    application: str = ""
    facility: str = ""
    our_application: str = ""
    our_facility: str = ""
    event: str = ""
    control_id: str = ""
    processing_id: str = "P"
    version: str = VERSION


def read_header(message: Hl7Message) -> Hl7Header:
    """Return the header of a message; fields are as they came, so that their escapes stay."""
    msh = next(message.segments())
    kind = msh.repetitions(9)
    event = kind[0][1] if kind and len(kind[0]) > 1 else ""
    return Hl7Header(
        separators=message.field + message.signs,
        application=_clean(msh, 3),
        facility=_clean(msh, 4),
        our_application=_clean(msh, 5) or APPLICATION,
        our_facility=_clean(msh, 6),
        event=event if event.isalnum() else "",
        control_id=_clean(msh, 10)[:ID_MAX],
        processing_id=_clean(msh, 11) or "P",
        version=_clean(msh, 12) or VERSION,
    )


def _clean(msh: Hl7Segment, number: int) -> str:
    """Return a field without line ends, which would begin a segment of the answer."""
    return "".join(sign for sign in msh.raw(number) if sign.isprintable())


def accept(header: Hl7Header, control_id: str, at: str) -> bytes:
    """Return the acknowledgement of a stored message; `control_id` is ours, `at` is MSH-7."""
    return _build(header, control_id, at, ["MSA", "AA", header.control_id])


def refuse(header: Hl7Header, control_id: str, at: str, refused: MessageRefused) -> bytes:
    """Return a negative acknowledgement with its reason in ERR (2.15.5)."""
    component = header.separators[1]
    code = component.join((*refused.condition.value, "HL70357"))
    error = ["ERR", "", "", code, "E", "", "", "", _escape(str(refused), header.separators)]
    return _build(header, control_id, at, ["MSA", refused.code, header.control_id], error)


def _build(header: Hl7Header, control_id: str, at: str, *segments: list[str]) -> bytes:
    field, component = header.separators[0], header.separators[1]
    kind = component.join(filter(None, ("ACK", header.event, "ACK" if header.event else "")))
    msh = [
        "MSH",
        header.separators[1:],
        header.our_application or APPLICATION,
        header.our_facility,
        header.application,
        header.facility,
        at,
        "",
        kind,
        control_id,
        header.processing_id,
        header.version,
        "",
        "",
        "",
        "",
        "",
        "UNICODE UTF-8",
    ]
    lines = [field.join(segment) for segment in (msh, *segments)]
    return "".join(f"{line}\r" for line in lines).encode()


def _escape(text: str, separators: str) -> str:
    """Return a text with the separators of a message escaped (2.7.1)."""
    escape = separators[3]
    names = dict(zip(separators, "FSRET", strict=False))
    return "".join(f"{escape}{names[sign]}{escape}" if sign in names else sign for sign in text)
