"""Contract of the archives: C-GET, C-MOVE and DICOMweb with Orthanc; audited; fake."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import dcmread

from tests.builders.images import image, part10, uid
from tests.fakes import FakeTrail
from tests.fakes.archives import FakeArchive
from tests.integration.servers import Orthanc, orthanc
from tests.peers import peer
from tests.waiting import HOST
from triage import archives
from triage.archives.audited import audit_archive
from triage.cli.demo_site import find_free_port
from triage.config import DicomArchiveSettings, DicomwebArchiveSettings
from triage.domain.archive import ArchivedStudy, ArchiveQuery
from triage.domain.errors import ArchiveFailed, ArchiveUnreachable
from triage.ports.archive import Archive, StudyDownload
from triage.store.download import FolderDownloadTarget, lock_download_folder

DICOMWEB = "/usr/share/orthanc/plugins/libOrthancDicomWeb.so"
STUDIES = {
    name: [part10(image(name, number=number, StudyDate="20240131")) for number in range(3)]
    for name in ("one", "two")
}
MOVE_AE, MOVE_PORT = "RETRIEVING", find_free_port()
KINDS = ["get", "move", "dicomweb", "audited", "fake"]


@pytest.fixture(scope="module")
def pacs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    with orthanc(
        tmp_path_factory.mktemp("orthanc"),
        Plugins=[peer(DICOMWEB)],
        DicomModalities={"worker": [MOVE_AE, HOST, MOVE_PORT]},
        DicomAlwaysAllowFind=True,
        DicomAlwaysAllowGet=True,
        DicomAlwaysAllowMove=True,
    ) as running:
        for content in (*STUDIES["one"], *STUDIES["two"]):
            running.upload(content)
        yield running


def open_archive(kind: str, dicom_port: int, http_port: int) -> Archive:
    if kind == "dicomweb":
        url = f"http://{HOST}:{http_port}/dicom-web"
        return archives.open_archive(
            "CMRTRIAGE", DicomwebArchiveSettings(kind="dicomweb", url=url, timeout_s=20)
        )
    move_to = {"ae_title": MOVE_AE, "port": MOVE_PORT} if kind == "move" else None
    values = {"ae_title": "ORTHANC", "host": HOST, "port": dicom_port, "timeout_s": 20}
    settings = DicomArchiveSettings.model_validate({"kind": "dicom", "move_to": move_to, **values})
    archive = archives.open_archive("CMRTRIAGE", settings)
    if kind == "audited":
        return audit_archive(archive, settings, FakeTrail(), records_studies=True)
    return archive


@pytest.fixture(params=KINDS)
def archive(request: pytest.FixtureRequest) -> Archive:
    if request.param == "fake":
        return FakeArchive(studies={uid(name): files for name, files in STUDIES.items()})
    pacs: Orthanc = request.getfixturevalue("pacs")
    return open_archive(request.param, pacs.dicom_port, pacs.http_port)


@pytest.fixture(params=KINDS)
def unreachable(request: pytest.FixtureRequest) -> Archive:
    if request.param == "fake":
        return FakeArchive(down=True)
    return open_archive(request.param, find_free_port(), find_free_port())


@pytest.fixture
def target(tmp_path: Path) -> Iterator[FolderDownloadTarget]:
    with lock_download_folder(tmp_path):
        yield FolderDownloadTarget(tmp_path)


def open_download(target: FolderDownloadTarget, study: str) -> StudyDownload:
    return target.open(uid(study), lambda: None)


def test_a_study_is_found_with_its_number_of_instances(archive: Archive) -> None:
    found = {study.study_uid: study for study in archive.find(ArchiveQuery(study_uid=uid("one")))}
    assert found[uid("one")].instances == 3


def test_an_unknown_study_is_not_found(archive: Archive) -> None:
    found = archive.find(ArchiveQuery(study_uid=uid("unknown")))
    assert uid("unknown") not in {study.study_uid for study in found}


def test_a_study_is_fetched_completely(
    archive: Archive, target: FolderDownloadTarget, tmp_path: Path
) -> None:
    with open_download(target, "one") as download:
        response = archive.fetch(ArchivedStudy(uid("one"), instances=3), download)
        assert (response.whole, response.failed, download.instances) == (True, 0, 3)
        assert (download.refusals, download.storage_error) == ({}, None)
        download.finish()
    fetched = [dcmread(path) for path in (tmp_path / uid("one")).iterdir()]
    assert {str(dataset.SOPInstanceUID) for dataset in fetched} == {
        str(image("one", number=number).SOPInstanceUID) for number in range(3)
    }


def test_nothing_is_fetched_of_an_unknown_study(
    archive: Archive, target: FolderDownloadTarget
) -> None:
    with open_download(target, "unknown") as download:
        try:
            response = archive.fetch(ArchivedStudy(uid("unknown")), download)
        except ArchiveFailed:
            pass  # some archives respond with a failure status
        else:
            assert not response.failed
        assert download.instances == 0


def test_refused_instances_are_counted_and_raise_nothing(
    archive: Archive, target: FolderDownloadTarget
) -> None:
    with open_download(target, "two") as download:
        archive.fetch(ArchivedStudy(uid("one"), instances=3), download)
        assert download.instances == 0
        assert [*download.refusals] == ["an instance of another study"]  # a sender may stop there


# pynetdicom does not close the socket of a refused connection.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_unreachable_archive_raises_an_error(
    unreachable: Archive, target: FolderDownloadTarget
) -> None:
    with pytest.raises(ArchiveUnreachable):
        list(unreachable.find(ArchiveQuery(study_uid=uid("one"))))
    with open_download(target, "one") as download, pytest.raises(ArchiveUnreachable):
        unreachable.fetch(ArchivedStudy(uid("one")), download)
