"""DIMSE response statuses by name (PS3.7 annex C, PS3.4 B.2.3).

No other module contains a bare status number. The four-digit values are part of the meaning:
0xC210 (a C-STORE failure) is not 0x0210 (an N-service failure).
"""

from enum import IntEnum


class StoreStatus(IntEnum):
    """What we answer to a C-STORE or C-ECHO."""

    SUCCESS = 0x0000
    OUT_OF_RESOURCES = 0xA700
    DATA_SET_DOES_NOT_MATCH = 0xA900
    CANNOT_UNDERSTAND = 0xC000
    TOO_LARGE = 0xC001  #: of the range 0xCxxx, whose last digits are ours


class ActionStatus(IntEnum):
    """What we answer to an N-ACTION (PS3.7 10.1.4.1.10)."""

    SUCCESS = 0x0000
    NO_SUCH_INSTANCE = 0x0112
    INVALID_ARGUMENT = 0x0115
    NO_SUCH_ACTION = 0x0123
    RESOURCE_LIMITATION = 0x0213


class EventReportStatus(IntEnum):
    """What we answer to an N-EVENT-REPORT (PS3.7 10.1.1.1.8)."""

    SUCCESS = 0x0000
    NO_SUCH_INSTANCE = 0x0112
    NO_SUCH_EVENT = 0x0113
    INVALID_ARGUMENT = 0x0115
    RESOURCE_LIMITATION = 0x0213


class ProcedureStepStatus(IntEnum):
    """What we answer to an N-CREATE or N-SET (PS3.7 10.1.3.1.9, 10.1.5.1.6)."""

    SUCCESS = 0x0000
    INVALID_VALUE = 0x0106
    PROCESSING_FAILURE = 0x0110
    DUPLICATE_INSTANCE = 0x0111
    NO_SUCH_INSTANCE = 0x0112
    MISSING_ATTRIBUTE = 0x0120
    RESOURCE_LIMITATION = 0x0213


#: PS3.4 table B.2-1: the instance was stored, with a remark worth keeping.
WARNINGS = {
    0xB000: "Coercion of data elements",
    0xB006: "Elements discarded",
    0xB007: "Data set does not match SOP class",
}
#: PS3.4 table B.2-1: failures, by the digits that are fixed.
FAILURES = {
    0xA700: "Out of resources",
    0xA900: "Data set does not match SOP class",
    0xC000: "Cannot understand",
}


def is_stored(status: int) -> bool:
    """Tell whether a C-STORE response says that the peer has the instance."""
    return status == StoreStatus.SUCCESS or status in WARNINGS


def describe_status(status: int) -> str:
    """Return a C-STORE status as people read it, e.g. "0xA700 Out of resources"."""
    if status == StoreStatus.SUCCESS:
        return "0x0000 Success"
    known = WARNINGS.get(status)
    known = known or FAILURES.get(status & 0xFF00) or FAILURES.get(status & 0xF000)
    return f"0x{status:04X} {known or 'a status that PS3.4 does not name'}"
