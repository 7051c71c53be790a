from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread

from tests.builders.images import image, part10, uid
from tests.fakes import FakeTrail
from tests.fakes.archives import FakeArchive, Fetch
from triage.archives.audited import audit_archive
from triage.config import DicomArchiveSettings, DicomwebArchiveSettings
from triage.domain.archive import ArchivedStudy, ArchiveQuery, RetrieveResponse
from triage.domain.audit import INSTANCES_TRANSFERRED, QUERY, SOP_CLASS_UID, AuditOutcome
from triage.domain.errors import ArchiveUnreachable
from triage.ports.archive import StudyDownload
from triage.store.download import FolderDownloadTarget, lock_download_folder

PACS = DicomArchiveSettings(kind="dicom", ae_title="PACS", host="10.1.2.3", port=104)
VNA = DicomwebArchiveSettings(kind="dicomweb", url="https://vna.example/dicom-web")
SEARCH = ArchiveQuery(patient_id="4711")
STUDY = ArchivedStudy(uid("study"), patient_id="4711")


@pytest.fixture
def download(tmp_path: Path) -> Iterator[StudyDownload]:
    with lock_download_folder(tmp_path):
        yield FolderDownloadTarget(tmp_path).open(STUDY.study_uid, lambda: None)


def sends(count: int, response: RetrieveResponse) -> Fetch:
    """Return an answer of the fake archive: so many instances, then a response."""

    def fetch(download: StudyDownload) -> RetrieveResponse:
        for number in range(count):
            download.keep([part10(image(number=number))])
        return response

    return fetch


def test_a_c_find_query_is_recorded_as_it_is_sent() -> None:
    trail = FakeTrail()
    archive = audit_archive(FakeArchive(listed=[STUDY]), PACS, trail, records_studies=False)
    assert list(archive.find(SEARCH)) == [STUDY]
    (event,) = trail.events
    (query,) = event.objects
    assert (event.event, query.id_type) == (QUERY, SOP_CLASS_UID)
    assert query.id == "1.2.840.10008.5.1.4.1.2.2.1"
    assert query.details == (("TransferSyntax", b"1.2.840.10008.1.2"),)
    assert query.query is not None
    dataset = dcmread(BytesIO(query.query), force=True)
    assert (dataset.PatientID, dataset.QueryRetrieveLevel) == ("4711", "STUDY")


def test_a_qido_query_is_recorded_as_it_is_sent() -> None:
    trail = FakeTrail()
    list(audit_archive(FakeArchive(), VNA, trail, records_studies=False).find(SEARCH))
    assert trail.events[0].objects[0].query == (
        b"PatientID=4711&includefield=00081030&includefield=00201208"
    )


def test_a_query_is_recorded_before_it_is_sent() -> None:
    trail = FakeTrail()
    archive = audit_archive(FakeArchive(down=True), PACS, trail, records_studies=False)
    with pytest.raises(ArchiveUnreachable):
        list(archive.find(SEARCH))
    assert len(trail.events) == 1


@pytest.mark.parametrize(
    ("response", "instances", "outcomes"),
    [
        (RetrieveResponse(), 2, [AuditOutcome.SUCCESS]),
        (RetrieveResponse(failed=1, whole=False), 1, [AuditOutcome.MINOR]),
        (RetrieveResponse(), 0, []),
    ],
)
def test_a_fetched_study_is_recorded(
    download: StudyDownload,
    response: RetrieveResponse,
    instances: int,
    outcomes: list[AuditOutcome],
) -> None:
    trail = FakeTrail()
    pacs = FakeArchive([sends(instances, response)])
    archive = audit_archive(pacs, PACS, trail, records_studies=True)
    assert archive.fetch(STUDY, download) == response
    assert [event.outcome for event in trail.events] == outcomes
    for event in trail.events:
        assert event.event == INSTANCES_TRANSFERRED
        assert event.objects[0].instances == (("", instances),)
        assert event.objects[1].id == "4711"


def test_a_study_for_the_intake_is_not_recorded_twice(download: StudyDownload) -> None:
    trail = FakeTrail()
    pacs = FakeArchive([sends(2, RetrieveResponse())])
    audit_archive(pacs, PACS, trail, records_studies=False).fetch(STUDY, download)
    assert trail.events == []
