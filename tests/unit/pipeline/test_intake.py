import errno
from pathlib import Path

import pytest

from tests.builders.images import image, part10, uid
from tests.contract.ledgers import SOURCE
from triage.dicom.header import read_identity
from triage.domain.errors import (
    DamagedInstance,
    LedgerUnavailable,
    MismatchedInstance,
    SpoolFull,
)
from triage.domain.instance import Receipt, ReceiptOutcome
from triage.pipeline.intake import Intake
from triage.store.ledger import SqlLedger
from triage.store.spool import FileSpool


@pytest.fixture
def spool(tmp_path: Path) -> FileSpool:
    return FileSpool(tmp_path)


@pytest.fixture
def intake(spool: FileSpool, ledger: SqlLedger) -> Intake:
    return Intake(spool, ledger)


def test_an_accepted_instance_is_in_the_spool_and_in_the_ledger(
    intake: Intake, spool: FileSpool, ledger: SqlLedger
) -> None:
    content = part10(image())
    receipt = intake.accept(content, SOURCE, uid("study", "series", 1))
    assert spool.read(receipt.path) == content
    assert ledger.list_paths(uid("study"), 1) == [receipt.path]


def test_a_damaged_instance_is_quarantined_with_its_reason_and_refused(
    intake: Intake, ledger: SqlLedger, tmp_path: Path
) -> None:
    content = part10(image())[:700]
    with pytest.raises(DamagedInstance):
        intake.accept(content, SOURCE)
    (incident,) = ledger.incidents()
    assert incident.kind == "refused instance"
    assert (tmp_path / incident.path).read_bytes() == content
    assert not ledger.list_studies()


def test_the_rest_of_a_study_goes_on_after_damage(intake: Intake, ledger: SqlLedger) -> None:
    intake.accept(part10(image(number=1)), SOURCE)
    with pytest.raises(DamagedInstance):
        intake.accept(part10(image(number=2))[:-100], SOURCE)
    intake.accept(part10(image(number=3)), SOURCE)
    (study,) = ledger.list_studies()
    assert study.instances == 2


def test_a_data_set_that_contradicts_its_command_is_refused(intake: Intake) -> None:
    with pytest.raises(MismatchedInstance):
        intake.accept(part10(image()), SOURCE, "1.2.3")


def test_a_conflicting_copy_is_reported_and_not_assessed(intake: Intake, ledger: SqlLedger) -> None:
    first = intake.accept(part10(image()), SOURCE)
    other = intake.accept(part10(image(SeriesDescription="other")), SOURCE)
    assert other.outcome is ReceiptOutcome.CONFLICT
    assert [row.kind for row in ledger.incidents()] == ["conflicting instance"]
    assert ledger.list_paths(uid("study"), 1) == [first.path]


def test_repeated_refusals_are_one_incident_with_a_count(intake: Intake, ledger: SqlLedger) -> None:
    intake.accept(part10(image()), SOURCE)
    for _ in range(3):
        intake.accept(part10(image(SeriesDescription="other")), SOURCE)
        with pytest.raises(DamagedInstance):
            intake.accept(part10(image())[:700], SOURCE)
    with pytest.raises(DamagedInstance):
        intake.accept(part10(image())[:800], SOURCE)
    assert sorted((row.kind, row.times) for row in ledger.incidents()) == [
        ("conflicting instance", 3),
        ("refused instance", 1),
        ("refused instance", 3),
    ]


def test_a_study_sent_again_under_another_uid_is_a_new_study(
    intake: Intake, spool: FileSpool, ledger: SqlLedger
) -> None:
    first = intake.accept(part10(image()), SOURCE)
    corrected = part10(image(StudyInstanceUID="1.2.3"))
    again = intake.accept(corrected, SOURCE)
    assert again.outcome is ReceiptOutcome.NEW
    assert spool.read(again.path) == corrected
    assert spool.read(first.path) != corrected
    assert {study.study_uid for study in ledger.list_studies()} == {uid("study"), "1.2.3"}
    assert [row.kind for row in ledger.incidents()] == ["conflicting instance"]


def test_an_instance_in_the_spool_alone_is_recovered(
    intake: Intake, spool: FileSpool, ledger: SqlLedger
) -> None:
    content = part10(image())
    receipt = spool.keep(read_identity(content), content)
    assert intake.recover() == 1
    assert ledger.list_paths(uid("study"), 1) == [receipt.path]
    assert intake.recover() == 0


def test_a_damaged_spooled_file_does_not_stop_recovery(
    intake: Intake, spool: FileSpool, ledger: SqlLedger, tmp_path: Path
) -> None:
    content = part10(image())
    kept = spool.keep(read_identity(content), content)
    broken = tmp_path / "spool" / uid("study") / "1.2.3.dcm"
    broken.touch()
    misnamed = broken.with_name("1.2.4.dcm")
    misnamed.write_bytes(content)
    assert intake.recover() == 2
    assert ledger.list_known_paths() == {kept.path}
    assert not broken.exists()
    assert not misnamed.exists()
    assert [row.kind for row in ledger.incidents()] == ["damaged file in the spool"]


def test_an_unreadable_spooled_file_is_reported_and_does_not_stop_recovery(
    intake: Intake, spool: FileSpool, ledger: SqlLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = [spool.keep(read_identity(item), item) for item in map(part10, (image(), image("b")))]
    bad, examine = min(receipt.path for receipt in kept), spool.examine

    def broken(path: str) -> Receipt:
        if path == bad:
            raise OSError(errno.EIO, "Input/output error")
        return examine(path)

    monkeypatch.setattr(spool, "examine", broken)
    assert intake.recover() == 1
    assert ledger.list_known_paths() == {max(receipt.path for receipt in kept)}
    (incident,) = ledger.incidents()
    assert (incident.kind, incident.detail) == (
        "unreadable file in the spool",
        f"{bad}: Input/output error",
    )


def test_instances_are_recorded_once_the_ledger_answers_again(
    spool: FileSpool, ledger: SqlLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise LedgerUnavailable("database or disk is full")

    intake = Intake(spool, ledger)
    with monkeypatch.context() as patch, pytest.raises(LedgerUnavailable):
        patch.setattr(ledger, "record_instance", away)
        intake.accept(part10(image()), SOURCE)
    assert intake.needs_recovery
    assert intake.recover() == 1
    assert not intake.needs_recovery


def test_a_resend_with_other_file_meta_information_is_the_same_instance(intake: Intake) -> None:
    intake.accept(part10(image()), SOURCE)
    again = image()
    again.file_meta.ImplementationVersionName = "ANOTHER_RELEASE"
    assert intake.accept(part10(again), SOURCE).outcome is ReceiptOutcome.DUPLICATE


def test_a_failure_during_recovery_requests_another_recovery(
    spool: FileSpool, ledger: SqlLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    intake = Intake(spool, ledger)
    known = ledger.list_known_paths

    def meanwhile() -> set[str]:
        intake.needs_recovery = True  # set by `accept` in the thread of an association
        return known()

    monkeypatch.setattr(ledger, "list_known_paths", meanwhile)
    intake.recover()
    assert intake.needs_recovery


@pytest.mark.parametrize(
    "error", [LedgerUnavailable("busy"), SpoolFull("no room"), OSError("I/O error")]
)
def test_a_failed_recovery_is_repeated(
    spool: FileSpool, ledger: SqlLedger, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def away() -> set[str]:
        raise error

    intake = Intake(spool, ledger)
    monkeypatch.setattr(ledger, "list_known_paths", away)
    with pytest.raises(type(error)):
        intake.recover()
    assert intake.needs_recovery


def test_a_recovery_holds_no_instance_in_memory(
    intake: Intake, spool: FileSpool, ledger: SqlLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = part10(image())
    kept = spool.keep(read_identity(content), content)
    monkeypatch.setattr(spool, "read", None)
    monkeypatch.setattr(spool, "open_staging_file", None)  # nor does it need room for a copy
    assert intake.recover() == 1
    assert ledger.list_known_paths() == {kept.path}
