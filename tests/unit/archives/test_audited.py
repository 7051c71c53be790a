from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import cast

import pytest
from pydicom import dcmread

from tests.fakes import FakeTrail
from triage.archives.audited import audited
from triage.config import DicomArchive, DicomwebArchive
from triage.domain.archive import ArchivedStudy, ArchiveQuery, RetrieveResponse
from triage.domain.audit import INSTANCES_TRANSFERRED, QUERY, SOP_CLASS_UID, AuditOutcome
from triage.ports.archive import StudyDownload

PACS = DicomArchive(kind="dicom", ae_title="PACS", host="10.1.2.3", port=104)
VNA = DicomwebArchive(kind="dicomweb", url="https://vna.example/dicom-web")
SEARCH = ArchiveQuery(patient_id="4711")


@dataclass
class RecordedArchive:
    """One that has a study, and gives it as it is told to."""

    told: RetrieveResponse
    trail: FakeTrail

    def find(self, search: ArchiveQuery) -> Iterator[ArchivedStudy]:
        assert self.trail.events  # told of before it is asked
        yield ArchivedStudy("1.2.3", patient_id=search.patient_id)

    def fetch(self, _study: ArchivedStudy, _desk: StudyDownload) -> RetrieveResponse:
        return self.told


@dataclass
class FakeDesk:
    instances: int


def test_a_question_over_c_find_is_told_as_it_is_asked() -> None:
    trail = FakeTrail()
    archive = audited(
        RecordedArchive(RetrieveResponse(), trail), PACS, trail, tells_of_studies=False
    )
    assert [study.study_uid for study in archive.find(SEARCH)] == ["1.2.3"]
    (event,) = trail.events
    (asked,) = event.objects
    assert (event.event, asked.id_type) == (QUERY, SOP_CLASS_UID)
    assert asked.id == "1.2.840.10008.5.1.4.1.2.2.1"
    assert asked.details == (("TransferSyntax", b"1.2.840.10008.1.2"),)
    assert asked.query is not None
    dataset = dcmread(BytesIO(asked.query), force=True)
    assert (dataset.PatientID, dataset.QueryRetrieveLevel) == ("4711", "STUDY")


def test_a_question_over_qido_is_told_as_it_is_asked() -> None:
    trail = FakeTrail()
    list(
        audited(
            RecordedArchive(RetrieveResponse(), trail), VNA, trail, tells_of_studies=False
        ).find(SEARCH)
    )
    assert trail.events[0].objects[0].query == (
        b"PatientID=4711&includefield=00081030&includefield=00201208"
    )


@pytest.mark.parametrize(
    ("told", "instances", "outcomes"),
    [
        (RetrieveResponse(), 20, [AuditOutcome.SUCCESS]),
        (RetrieveResponse(failed=1, whole=False), 19, [AuditOutcome.MINOR]),
        (RetrieveResponse(), 0, []),
    ],
)
def test_a_study_that_came_is_told_of(
    told: RetrieveResponse, instances: int, outcomes: list[AuditOutcome]
) -> None:
    trail = FakeTrail()
    archive = audited(RecordedArchive(told, trail), PACS, trail, tells_of_studies=True)
    study, desk = (
        ArchivedStudy("1.2.3", patient_id="4711"),
        cast(StudyDownload, FakeDesk(instances)),
    )
    assert archive.fetch(study, desk) == told
    assert [each.outcome for each in trail.events] == outcomes
    for event in trail.events:
        assert event.event == INSTANCES_TRANSFERRED
        assert event.objects[0].instances == (("", instances),)
        assert event.objects[1].id == "4711"


def test_what_goes_on_to_the_intake_is_not_told_of_twice() -> None:
    trail = FakeTrail()
    archive = audited(
        RecordedArchive(RetrieveResponse(), trail), PACS, trail, tells_of_studies=False
    )
    archive.fetch(ArchivedStudy("1.2.3"), cast(StudyDownload, FakeDesk(20)))
    assert trail.events == []
