"""A study that comes again with other content under the same UIDs: reported once, or revised."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import ComprehensiveSRStorage

from tests.builders.images import cardiac_study, image, part10, uid
from tests.contract.ledgers import SOURCE, current
from tests.fakes import FakeClock
from triage.dicom.header import read_identity
from triage.domain.incident import IncidentKind
from triage.domain.instance import CorrectedStudy, ReceiptOutcome
from triage.domain.reasons import TEXTS, ReasonCode
from triage.domain.study import Event, State
from triage.pipeline.assess import Assessor
from triage.pipeline.intake import Intake
from triage.store.ledger import SqlLedger
from triage.store.spool import FileSpool

STUDY = uid("study")
SECRET = "PATIENT-4711"  #: must not appear outside the images and their report
COUNT = 92


@pytest.fixture
def spool(tmp_path: Path) -> FileSpool:
    return FileSpool(tmp_path)


@pytest.fixture(params=CorrectedStudy)
def intake(request: pytest.FixtureRequest, spool: FileSpool, ledger: SqlLedger) -> Intake:
    return Intake(spool, ledger, corrected=request.param)


@pytest.fixture
def revising(spool: FileSpool, ledger: SqlLedger) -> Intake:
    return Intake(spool, ledger, corrected=CorrectedStudy.REVISE)


def send(intake: Intake, datasets: Sequence[Dataset]) -> list[str]:
    """Send instances; return their paths in the spool."""
    return [intake.accept(part10(dataset), SOURCE).path for dataset in datasets]


def images(count: int = COUNT, **said: str) -> list[Dataset]:
    return [image(number=number, **said) for number in range(count)]


def judge_complete(ledger: SqlLedger) -> int:
    """Judge the latest revision complete; return its number."""
    study = current(ledger, STUDY)
    assert ledger.move(study, Event.JUDGED_COMPLETE, "quiet")
    return study.revision


def test_a_corrected_study_is_one_incident_with_a_count(intake: Intake, ledger: SqlLedger) -> None:
    send(intake, images())
    send(intake, images(PatientID=SECRET))
    (incident,) = ledger.incidents(study_uid=STUDY)
    assert ledger.incidents() == [incident]
    assert (incident.times, incident.path) == (COUNT, STUDY)
    assert STUDY in incident.detail
    history = [row.reason for row in ledger.history(STUDY)]
    assert SECRET not in f"{incident} {history}"


def test_by_default_the_first_images_are_assessed_and_the_later_ones_kept(
    spool: FileSpool, ledger: SqlLedger
) -> None:
    intake = Intake(spool, ledger)
    first = send(intake, images(3))
    judge_complete(ledger)
    later = send(intake, images(3, PatientID=SECRET))
    study = current(ledger, STUDY)
    assert (study.revision, study.state, study.instances) == (1, State.READY, 3)
    assert ledger.list_paths(STUDY, 1) == sorted(first)
    assert all(spool.read(path) for path in later)
    assert [row.kind for row in ledger.incidents()] == [IncidentKind.CONFLICTING_INSTANCE]


def test_a_revised_study_consists_of_what_came_last(
    revising: Intake, spool: FileSpool, ledger: SqlLedger
) -> None:
    first = send(revising, images(3))
    judge_complete(ledger)
    assert ledger.claim(STUDY, 1, "worker", 30) is not None
    later = send(revising, images(2, PatientID=SECRET))
    study = current(ledger, STUDY)
    assert (study.revision, study.state, study.instances) == (2, State.RECEIVING, 3)
    assert study.reason == TEXTS[ReasonCode.CORRECTED_INSTANCES].sentence
    assert ledger.list_paths(STUDY, 2) == sorted([*later, first[2]])
    assert all(spool.read(path) for path in first)  # nothing is lost
    assert [row.kind for row in ledger.incidents()] == [IncidentKind.CORRECTED_STUDY]


@pytest.mark.parametrize("is_complete", [False, True])
def test_an_open_revision_takes_the_correction(
    revising: Intake, ledger: SqlLedger, *, is_complete: bool
) -> None:
    send(revising, images(3))
    if is_complete:
        judge_complete(ledger)
    later = send(revising, images(3, PatientID=SECRET))
    study = current(ledger, STUDY)
    assert (study.revision, study.state, study.instances) == (1, State.RECEIVING, 3)
    assert ledger.list_paths(STUDY, 1) == sorted(later)


def test_the_same_correction_again_changes_nothing_and_the_first_content_comes_back(
    revising: Intake, ledger: SqlLedger
) -> None:
    first = send(revising, images(2))
    later = send(revising, images(2, PatientID=SECRET))
    for _ in range(2):
        assert send(revising, images(2, PatientID=SECRET)) == later
        assert ledger.list_paths(STUDY, 1) == sorted(later)
    assert ledger.incidents()[0].times == 2
    assert send(revising, images(2)) == first
    assert ledger.list_paths(STUDY, 1) == sorted(first)


def test_a_corrected_object_without_an_image_opens_no_revision(
    revising: Intake, ledger: SqlLedger
) -> None:
    report = {"SOPClassUID": ComprehensiveSRStorage, "Modality": "SR"}
    send(revising, [*images(2), image("study", "report", number=7, **report)])
    judge_complete(ledger)
    assert ledger.claim(STUDY, 1, "worker", 30) is not None
    (later,) = send(revising, [image("study", "report", number=7, **report, PatientID=SECRET)])
    assert current(ledger, STUDY).revision == 1
    assert later in ledger.list_paths(STUDY, 1)


def test_recovery_does_not_bring_a_replaced_instance_back(
    revising: Intake, spool: FileSpool, ledger: SqlLedger
) -> None:
    send(revising, images(2))
    later = send(revising, images(2, PatientID=SECRET))
    assert revising.recover() == 0
    assert ledger.list_paths(STUDY, 1) == sorted(later)
    (lost,) = images(1, StudyInstanceUID="1.2.3")
    spool.keep(read_identity(part10(lost)), part10(lost))
    assert revising.recover() == 1


def test_a_correction_that_the_ledger_missed_is_taken_when_it_comes_again(
    revising: Intake, spool: FileSpool, ledger: SqlLedger
) -> None:
    send(revising, images(1))
    (corrected,) = map(part10, images(1, PatientID=SECRET))
    kept = spool.keep(read_identity(corrected), corrected)  # and the process ends here
    assert kept.outcome is ReceiptOutcome.CONFLICT
    assert revising.accept(corrected, SOURCE).path == kept.path
    assert ledger.list_paths(STUDY, 1) == [kept.path]


def test_the_report_on_the_correction_replaces_the_first(
    assessor: Assessor, ledger: SqlLedger, clock: FakeClock
) -> None:
    intake = Intake(assessor.spool, ledger, corrected=CorrectedStudy.REVISE)
    documents = []
    for patient in ("1", SECRET):
        for dataset in cardiac_study():
            dataset.PatientID = patient
            intake.accept(part10(dataset), SOURCE)
        clock.pass_s(60)
        revision = judge_complete(ledger)
        assessor.assess(STUDY, revision)
        (delivery, *_) = ledger.list_deliveries(STUDY, revision)
        documents.append(dcmread(BytesIO(delivery.offers[0].content)))
    first, second = documents
    assert (first.PatientID, second.PatientID) == ("1", SECRET)
    assert first.SOPInstanceUID != second.SOPInstanceUID
    (study,) = second.PredecessorDocumentsSequence
    (reference,) = study.ReferencedSeriesSequence[0].ReferencedSOPSequence
    assert reference.ReferencedSOPInstanceUID == first.SOPInstanceUID
