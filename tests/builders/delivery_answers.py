"""What becomes of a delivery after each answer, as deploy/CONFORMANCE.md states it.

`python -m tests.builders.destination_documents` writes the tables. Peers that give every one of
these answers hold them to the code (tests/integration/test_delivery_answers.py).
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum, auto
from functools import partial

from tests.builders.stow_responses import store_response
from triage.destinations.http import CLIENT_ERROR, PAUSE, SERVER_ERROR
from triage.destinations.mllp import ACCEPTED, COMMITTED, ERRORS, NOT_COMMITTED, REJECTIONS
from triage.destinations.stow import JUDGED, LOGIN
from triage.destinations.webhook import RETRIED
from triage.dimse.statuses import ALREADY_STORED, FAILURES, WARNINGS
from triage.domain.delivery import UNCLEAR_ATTEMPTS_MAX, WARNING

STATUSES = range(0x10000)  #: of DIMSE (PS3.7 annex C)
CODES = range(200, 600)  #: final statuses of HTTP (RFC 9110 15)
FEW = 8  #: a set of fewer statuses is tested as a whole, a larger one at its bounds


class Outcome(StrEnum):
    """What becomes of a delivery after one answer."""

    DELIVERED = "delivered"
    WARNED = "delivered with a warning"
    RETRIED = "tried again"
    HELD = "tried again; the other deliveries wait"
    LIMITED = f"tried again, {UNCLEAR_ATTEMPTS_MAX} attempts at most"
    LIMITED_HELD = (
        f"tried again, {UNCLEAR_ATTEMPTS_MAX} attempts at most; the other deliveries wait"
    )
    GIVEN_UP = "given up at once"


class Silence(Enum):
    """How a peer behaves that does not answer."""

    ABSENT = auto()  #: nothing listens
    REJECTS = auto()  #: rejects the association
    REFUSES_CLASS = auto()  #: accepts no presentation context
    CLOSES_FIRST = auto()  #: closes the connection and reads nothing
    CLOSES = auto()  #: reads the product and closes the connection
    SILENT = auto()  #: reads the product and sends nothing


@dataclass(frozen=True)
class HttpAnswer:
    """A response over HTTP."""

    code: int
    body: Callable[[str], bytes] = lambda _uid: b""  #: of the product with this UID


Answer = int | bytes | HttpAnswer | Silence


@dataclass(frozen=True)
class AnswerRow:
    """Answers of one protocol that have the same outcome."""

    answers: str
    outcome: Outcome
    samples: Sequence[Answer]  #: what a peer answers in the test
    covers: Collection[int] = ()  #: every status that the row is about


def _row_of_statuses(answers: str, outcome: Outcome, covers: Collection[int]) -> AnswerRow:
    return AnswerRow(answers, outcome, _choose(covers), covers)


def _row_of_codes(answers: str, outcome: Outcome, covers: Collection[int]) -> AnswerRow:
    return AnswerRow(answers, outcome, [HttpAnswer(code) for code in _choose(covers)], covers)


def _choose(values: Collection[int]) -> list[int]:
    """Return a few values, or the bounds and the middle of many."""
    found = sorted(values)
    return found if len(found) < FEW else [found[0], found[len(found) // 2], found[-1]]


def _remaining(rows: Iterable[AnswerRow], every: range) -> set[int]:
    return {*every} - {status for row in rows for status in row.covers}


def _join(values: Iterable[object]) -> str:
    return ", ".join(map(str, sorted(values, key=str)))


def list_dicom_answers() -> list[AnswerRow]:
    """Return the rows of C-STORE: the classes of PS3.7 annex C and PS3.4 table B.2-1."""
    rows = [
        _row_of_statuses("0x0000 Success", Outcome.DELIVERED, [0]),
        _row_of_statuses(
            "0x0111 Duplicate SOP instance: it was stored before, its response was lost",
            Outcome.DELIVERED,
            [ALREADY_STORED],
        ),
    ]
    for status, meaning in sorted(WARNINGS.items()):
        rows.append(_row_of_statuses(f"0x{status:04X} {meaning}", Outcome.WARNED, [status]))
    other_warnings = {*range(WARNING, WARNING + 0x1000)} - {*WARNINGS}
    rows.append(_row_of_statuses("any other 0xBxxx, Warning", Outcome.WARNED, other_warnings))
    for status, meaning in sorted(FAILURES.items()):
        free = 0x1000 if status == 0xC000 else 0x100  # the digits that a peer defines
        text = f"0x{status:04X} to 0x{status + free - 1:04X} {meaning}"
        rows.append(_row_of_statuses(text, Outcome.RETRIED, range(status, status + free)))
    others = _remaining(rows, STATUSES)
    samples = [0x0110, 0x0122, 0x0124, 0x0210, 0xA801, 0xFE00, 0xFF00, *_choose(others)]
    named = "any other: 0x0122 SOP class not supported, 0x0124 Not authorized, 0xFF00 Pending ..."
    rows.append(AnswerRow(named, Outcome.RETRIED, samples, others))
    return [
        *rows,
        AnswerRow(
            "the association ends, or `timeout_s` passes, without a response",
            Outcome.RETRIED,
            [Silence.CLOSES, Silence.SILENT],
        ),
        AnswerRow("no proposed SOP class is accepted", Outcome.RETRIED, [Silence.REFUSES_CLASS]),
        AnswerRow(
            "the association is rejected, or not answered",
            Outcome.HELD,
            [Silence.REJECTS, Silence.ABSENT],
        ),
    ]


def known_to(uid: str) -> bytes:
    """Return the response of a service that has the instance already."""
    return store_response(uid, failure=ALREADY_STORED)


def list_stow_answers() -> list[AnswerRow]:
    """Return the rows of STOW-RS: the Store Instances Response decides (PS3.18 I)."""
    judged = _join(JUDGED)
    warned = partial(store_response, warning=0xB000)
    failed = partial(store_response, failure=0xA700)

    def each(body: Callable[[str], bytes]) -> list[Answer]:
        return [HttpAnswer(code, body) for code in sorted(JUDGED)]

    silent = [
        HttpAnswer(202),
        HttpAnswer(409),
        HttpAnswer(200, lambda _uid: store_response("2.25.1")),
    ]
    rows = [
        AnswerRow(
            f"{judged} that names it in the Referenced SOP Sequence",
            Outcome.DELIVERED,
            each(store_response),
            JUDGED,
        ),
        AnswerRow("the same, with a Warning Reason", Outcome.WARNED, each(warned)),
        AnswerRow(
            f"{judged} that names it in the Failed SOP Sequence as stored before (0x0111)",
            Outcome.DELIVERED,
            each(known_to),
        ),
        AnswerRow("the same, with another Failure Reason", Outcome.RETRIED, each(failed)),
        AnswerRow("200 without such a body", Outcome.DELIVERED, [HttpAnswer(200)]),
        AnswerRow(
            "202 or 409 that does not name it, 200 that names others", Outcome.RETRIED, silent
        ),
        _row_of_codes(f"{_join(LOGIN)}: authorization or certificate", Outcome.HELD, LOGIN),
        _row_of_codes(
            f"{_join(PAUSE)}, at least as long as Retry-After states", Outcome.HELD, PAUSE
        ),
    ]
    rows.append(_row_of_codes("any other status", Outcome.RETRIED, _remaining(rows, CODES)))
    return [*rows, *_list_http_silences()]


def list_webhook_answers() -> list[AnswerRow]:
    """Return the rows of a webhook: the classes of RFC 9110 15."""
    rows = [
        _row_of_codes("2xx", Outcome.DELIVERED, range(200, 300)),
        _row_of_codes(
            f"{_join(PAUSE)}, at least as long as Retry-After states", Outcome.HELD, PAUSE
        ),
        _row_of_codes(_join(RETRIED - PAUSE), Outcome.RETRIED, RETRIED - PAUSE),
    ]
    rejected = {*range(CLIENT_ERROR, SERVER_ERROR)} - RETRIED
    rows.append(_row_of_codes("any other 4xx", Outcome.GIVEN_UP, rejected))
    rows.append(_row_of_codes("any other status", Outcome.RETRIED, _remaining(rows, CODES)))
    return [*rows, *_list_http_silences()]


def _list_http_silences() -> list[AnswerRow]:
    return [
        AnswerRow(
            "the connection ends before a response is complete", Outcome.RETRIED, [Silence.CLOSES]
        ),
        AnswerRow(
            "no connection, or no response within `timeout_s`",
            Outcome.HELD,
            [Silence.ABSENT, Silence.SILENT],
        ),
    ]


def list_mllp_answers() -> list[AnswerRow]:
    """Return the rows of MLLP: the codes of HL7 table 0008, and the bytes of MLLP release 2."""
    ids = ("{}", "", "OTHER", "{}^1")

    def each(codes: Iterable[str]) -> list[bytes]:
        first, *others = sorted(codes)
        own = [_acknowledge(code, "{}") for code in others]
        return [*own, *(_acknowledge(first, named) for named in ids)]

    return [
        AnswerRow(f"{_join(ACCEPTED)}, whatever MSA-2 names", Outcome.DELIVERED, each(ACCEPTED)),
        AnswerRow("0x06, commit of MLLP release 2", Outcome.DELIVERED, [COMMITTED]),
        AnswerRow(f"{_join(ERRORS)}, whatever MSA-2 names", Outcome.RETRIED, each(ERRORS)),
        AnswerRow("0x15, no commit of MLLP release 2", Outcome.RETRIED, [NOT_COMMITTED]),
        AnswerRow(f"{_join(REJECTIONS)}, whatever MSA-2 names", Outcome.GIVEN_UP, each(REJECTIONS)),
        AnswerRow(
            "another code, or what is no acknowledgement",
            Outcome.LIMITED,
            [_acknowledge("ZZ", "{}"), _acknowledge("", "{}"), b"hello"],
        ),
        AnswerRow("the connection ends after the message", Outcome.LIMITED, [Silence.CLOSES]),
        AnswerRow(
            "no answer to the message within `timeout_s`", Outcome.LIMITED_HELD, [Silence.SILENT]
        ),
        AnswerRow(
            "no connection, or one that ends before the message",
            Outcome.HELD,
            [Silence.ABSENT, Silence.CLOSES_FIRST],
        ),
    ]


def _acknowledge(code: str, named: str) -> bytes:
    """Return an acknowledgement, in whose text `{}` stands for the control ID of the message."""
    return f"MSH|^~\\&|RIS||||1||ACK|A1|P|2.5.1\rMSA|{code}|{named}\r".encode()


#: The tables by the kind of destination.
TABLES: Mapping[str, Callable[[], list[AnswerRow]]] = {
    "dicom": list_dicom_answers,
    "stow": list_stow_answers,
    "webhook": list_webhook_answers,
    "mllp": list_mllp_answers,
}


def render_answers(kind: str) -> str:
    """Return the table of one kind of destination."""
    rows = [f"| {row.answers} | {row.outcome} |" for row in TABLES[kind]()]
    return "\n".join(["| Answer | Delivery |", "| --- | --- |", *rows])
