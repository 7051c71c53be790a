"""HL7 messages with reports: reading, storing and acknowledgement, without a network."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from receivers.hl7.messages import Hl7Peer, ReportStore
from receivers.hl7.reports import read_reports, split_orders
from tests.builders.report_messages import TEXT, mdm, oru
from triage.cases.readings.segments import parse_message
from triage.config import Hl7Sender, Hl7Settings
from triage.domain.errors import LedgerUnavailable
from triage.domain.instance import Source
from triage.domain.outcome import (
    FindingOutcome,
    RecordedMessage,
    ReportedOutcomes,
    ReportRank,
    ReportResult,
)
from triage.findings.extraction import OutcomeReader
from triage.telemetry.metrics import Metrics

NUMBERS = Hl7Settings.model_fields["numbers"].default
PEER = Hl7Peer("127.0.0.1")


class RememberingOutcomes:
    """Keeps what it is given; raises `error` if there is one."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.reports: list[ReportedOutcomes | ReportResult] = []
        self.refused: list[str] = []

    def record_message(
        self, source: Source, control_id: str, reports: Sequence[ReportedOutcomes | ReportResult]
    ) -> RecordedMessage:
        assert source.calling_ae == "ris"
        assert control_id
        if self.error is not None:
            raise self.error
        self.reports += reports
        return RecordedMessage([ReportResult.STORED for _ in reports])

    def report_refused(self, why: str, source: Source) -> None:
        assert source.address == PEER.address
        self.refused.append(why)

    def list_outcomes(self, study_uid: str) -> Sequence[FindingOutcome]:
        raise NotImplementedError(study_uid)


@pytest.fixture
def outcomes() -> RememberingOutcomes:
    return RememberingOutcomes()


@pytest.fixture
def store(outcomes: RememberingOutcomes) -> ReportStore:
    senders = {"ris": Hl7Sender(application="RIS", addresses=("127.0.0.0/8",))}
    return ReportStore(outcomes, Metrics(), Hl7Settings(senders=senders))


def read(content: bytes) -> list[ReportedOutcomes | ReportResult]:
    message = parse_message(content)
    assert message is not None
    return list(read_reports(message, NUMBERS, OutcomeReader()))


def read_one(content: bytes) -> ReportedOutcomes:
    (report,) = read(content)
    assert isinstance(report, ReportedOutcomes)
    return report


def answer(store: ReportStore, content: bytes) -> list[list[str]]:
    return [line.split("|") for line in store.handle(content, PEER).content.decode().split("\r")]


def test_a_report_has_its_numbers_and_outcomes_with_their_sentences() -> None:
    report = read_one(oru(filler="F1"))
    assert report.accessions == ["A4711", "F1"]
    assert report.rank is ReportRank.FINAL
    assert report.moment == "20260102080000"
    assert {o.finding_id: (str(o.status), o.sentence) for o in report.outcomes} == {
        "lv_dilation": ("present", "Dilated left ventricle, LVEF 32%."),
        "lv_dysfunction": ("present", "Dilated left ventricle, LVEF 32%."),
        "lge": ("absent", "No late gadolinium enhancement."),
    }


def test_the_study_uid_of_a_zds_segment_is_read() -> None:
    assert read_one(oru(uid="1.2.840.1.5")).study_uid == "1.2.840.1.5"


def test_an_mdm_is_found_by_its_filler_order_number() -> None:
    report = read_one(mdm())
    assert report.accessions == ["A4711"]
    assert len(report.outcomes) == 3


def test_sentences_have_no_names() -> None:
    report = read_one(oru(text="IMPRESSION:~Dilated LV in Jürgen Müller, seen by Dr. Rossi."))
    (outcome,) = report.outcomes
    assert "Müller" not in outcome.sentence
    assert "Rossi" not in outcome.sentence


@pytest.mark.parametrize(("status", "result"), [("C", "F"), ("F", "C")])
def test_a_corrected_report_has_a_higher_rank(status: str, result: str) -> None:
    assert read_one(oru(status=status, result=result)).rank is ReportRank.CORRECTED


@pytest.mark.parametrize(("status", "result"), [("X", "F"), ("F", "W"), ("F", "D")])
def test_a_withdrawn_report_has_no_outcomes(status: str, result: str) -> None:
    assert read_one(oru(status=status, result=result)).is_withdrawn


@pytest.mark.parametrize(
    ("content", "result"),
    [
        (oru(status="P"), ReportResult.PRELIMINARY),
        (oru(status="", result="P"), ReportResult.PRELIMINARY),
        (mdm(status="IP"), ReportResult.PRELIMINARY),
        (oru(text="The left ventricle is dilated."), ReportResult.NO_IMPRESSION),
    ],
)
def test_a_report_that_is_not_read_has_its_reason(content: bytes, result: ReportResult) -> None:
    assert read(content) == [result]


def test_each_order_is_a_report() -> None:
    first, second = oru(accession="A1").decode(), oru(accession="A2").decode()
    orders = second[second.index("OBR") :]
    content = f"{first}ORC|RE\r{orders}".encode()
    message = parse_message(content)
    assert message is not None
    assert len(list(split_orders(message))) == 2
    accessions = [each.accessions for each in read(content) if isinstance(each, ReportedOutcomes)]
    assert accessions == [["A1"], ["A2"]]


def test_a_stored_message_is_acknowledged_with_its_control_id(
    store: ReportStore, outcomes: RememberingOutcomes
) -> None:
    msh, msa, _ = answer(store, oru("id-7"))
    assert msa == ["MSA", "AA", "id-7"]
    assert msh[2:6] == ["CMRTRIAGE", "HOSP", "RIS", "RAD"]
    assert msh[8] == "ACK^R01^ACK"
    assert len(outcomes.reports) == 1


@pytest.mark.parametrize(
    ("content", "code", "sentence"),
    [
        (b"hello", "AR", "the message does not begin with MSH"),
        (b"", "AR", "the message does not begin with MSH"),
        (oru(kind="ADT^A01"), "AR", "MSH-9 must be ORU R01 or MDM T02"),
        (oru(kind="ORU^R30"), "AR", "MSH-9 must be ORU R01 or MDM T02"),
        (oru(""), "AE", "MSH-10 is empty: no control ID"),
        (oru(kind="MDM^T02"), "AE", "the message has no TXA segment"),
        (
            oru(application="HIS"),
            "AR",
            "this sending application (MSH-3, MSH-4) may not send from this address",
        ),
    ],
)
def test_a_message_that_is_not_accepted_is_answered_with_a_sentence(
    store: ReportStore, outcomes: RememberingOutcomes, content: bytes, code: str, sentence: str
) -> None:
    _, msa, err, _ = answer(store, content)
    assert msa[1] == code
    assert err[0] == "ERR"
    assert err[8] == sentence
    assert outcomes.refused == [f"HL7: {sentence}"]
    assert outcomes.reports == []


def test_a_ledger_that_does_not_answer_is_no_acceptance(
    store: ReportStore, outcomes: RememberingOutcomes
) -> None:
    outcomes.error = LedgerUnavailable("busy")
    _, msa, err, _ = answer(store, oru())
    assert msa[1] == "AE"
    assert err[3] == "207^Application internal error^HL70357"


def test_a_sender_from_another_network_is_not_accepted(
    outcomes: RememberingOutcomes,
) -> None:
    senders = {"ris": Hl7Sender(application="RIS", addresses=("10.0.0.0/8",))}
    store = ReportStore(outcomes, Metrics(), Hl7Settings(senders=senders))
    found = store.handle(oru(), PEER)
    assert not found.is_admitted
    assert b"MSA|AR|1" in found.content


def test_an_answer_uses_the_separators_of_the_message_and_no_line_ends_from_it(
    store: ReportStore,
) -> None:
    content = b"MSH#*~\\&#RIS#RAD#X\x0bY###20260102##ADT*A01#7#P#2.3\r"
    lines = store.handle(content, PEER).content.decode().split("\r")
    assert [line[:4] for line in lines] == ["MSH#", "MSA#", "ERR#", ""]


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300), st.integers(0, 400))
def test_any_bytes_are_answered(junk: bytes, at: int) -> None:
    outcomes = RememberingOutcomes()
    senders = {"ris": Hl7Sender(application="RIS")}
    store = ReportStore(outcomes, Metrics(), Hl7Settings(senders=senders))
    message = oru()
    for content in (junk, message[:at] + junk + message[at:]):
        assert b"MSA" in store.handle(content, PEER).content


def test_no_text_of_a_message_is_in_what_is_logged(
    store: ReportStore, capsys: pytest.CaptureFixture[str]
) -> None:
    store.handle(oru("id-7"), PEER)
    store.handle(oru(kind="ADT^A01"), PEER)
    written = "".join(capsys.readouterr())
    for secret in ("Müller", "4711", "ventricle", *TEXT.split("~")):
        assert secret not in written
