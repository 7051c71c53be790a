"""DIMSE response statuses by name (PS3.7 annex C, PS3.4 B.2.3).

Responses that we send use these names, never a bare number. The four-digit values are part of the
meaning: 0xC210 (a C-STORE failure) is not 0x0210 (an N-service failure).
"""

from enum import IntEnum

from triage.domain.delivery import is_warning_status


class StoreStatus(IntEnum):
    """Statuses of our C-STORE and C-ECHO responses."""

    SUCCESS = 0x0000
    OUT_OF_RESOURCES = 0xA700
    DATA_SET_DOES_NOT_MATCH = 0xA900
    CANNOT_UNDERSTAND = 0xC000
    TOO_LARGE = 0xC001  #: in the range 0xCxxx; its last three digits are ours to define


class ActionStatus(IntEnum):
    """Statuses of our N-ACTION responses (PS3.7 10.1.4.1.10)."""

    SUCCESS = 0x0000
    NO_SUCH_INSTANCE = 0x0112
    INVALID_ARGUMENT = 0x0115
    NO_SUCH_ACTION = 0x0123
    RESOURCE_LIMITATION = 0x0213


class EventReportStatus(IntEnum):
    """Statuses of our N-EVENT-REPORT responses (PS3.7 10.1.1.1.8)."""

    SUCCESS = 0x0000
    NO_SUCH_INSTANCE = 0x0112
    NO_SUCH_EVENT = 0x0113
    INVALID_ARGUMENT = 0x0115
    RESOURCE_LIMITATION = 0x0213


class ProcedureStepStatus(IntEnum):
    """Statuses of our N-CREATE and N-SET responses (PS3.7 10.1.3.1.9, 10.1.5.1.6)."""

    SUCCESS = 0x0000
    INVALID_VALUE = 0x0106
    PROCESSING_FAILURE = 0x0110
    DUPLICATE_INSTANCE = 0x0111
    NO_SUCH_INSTANCE = 0x0112
    MISSING_ATTRIBUTE = 0x0120
    RESOURCE_LIMITATION = 0x0213


#: The peer has this SOP Instance UID already (PS3.7 C.5.7). Our UIDs are unique and a retry sends
#: the same bytes, so an earlier try whose response was lost has stored it.
ALREADY_STORED = 0x0111
#: Warnings (PS3.7 C.4, PS3.4 table B.2-1): the instance was stored. Any 0xBxxx is a warning.
WARNINGS = {
    0x0001: "Requested optional attributes are not supported",
    0x0107: "Attribute list error",
    0x0116: "Attribute value out of range",
    0xB000: "Coercion of data elements",
    0xB006: "Elements discarded",
    0xB007: "Data set does not match SOP class",
}
#: PS3.4 table B.2-1: failures, by their fixed digits.
FAILURES = {
    0xA700: "Out of resources",
    0xA900: "Data set does not match SOP class",
    0xC000: "Cannot understand",
}


def is_stored(status: int) -> bool:
    """Return True if a C-STORE status means that the peer has stored the instance."""
    stored = {StoreStatus.SUCCESS, ALREADY_STORED}
    return status in stored or is_warning_status(status)


def describe_status(status: int) -> str:
    """Return a C-STORE status and its meaning, e.g. "0xA700 Out of resources"."""
    if status == StoreStatus.SUCCESS:
        return "0x0000 Success"
    if status == ALREADY_STORED:
        return "0x0111 Duplicate SOP instance: it was stored before"
    if is_warning_status(status):
        return f"0x{status:04X} {WARNINGS.get(status, 'a warning')}"
    meaning = FAILURES.get(status & 0xFF00) or FAILURES.get(status & 0xF000)
    return f"0x{status:04X} {meaning or 'a status that PS3.4 does not define'}"
