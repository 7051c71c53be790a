"""The instance count of a PACS: Orthanc, and a PACS that counts by series only."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset
from pynetdicom import AE, evt
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StudyRootQueryRetrieveInformationModelFind,
)

from tests.builders.images import SliceGeometry as Place
from tests.builders.images import cine, image, part10, uid
from tests.fakes import FakeTrail
from tests.integration.servers import Orthanc, orthanc
from tests.waiting import HOST
from triage.cli.demo_site import find_free_port
from triage.config import InstanceCountSettings
from triage.dimse.association import RemoteEntity
from triage.dimse.instance_count import InstanceCountQuery
from triage.dimse.store_scu import send_files
from triage.domain.completeness import ArchiveCount
from triage.domain.errors import DeliveryFailed
from triage.domain.study import State, StudyRevision

STUDY = StudyRevision(uid("study"), 1, State.RECEIVING, "", 0, 0, 1, 0, 0, "")


@pytest.fixture(scope="module")
def pacs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    with orthanc(tmp_path_factory.mktemp("orthanc"), DicomAlwaysAllowFind=True) as running:
        yield running


def inquiry(port: int, called: str = "ORTHANC", timeout_s: float = 5) -> InstanceCountQuery:
    asked = InstanceCountSettings(ae_title=called, host=HOST, port=port, timeout_s=timeout_s)
    return InstanceCountQuery("CMRTRIAGE", asked)


def test_orthanc_returns_the_instance_count_of_a_study(pacs: Orthanc, tmp_path: Path) -> None:
    assert inquiry(pacs.dicom_port)(STUDY) == ArchiveCount(0, "ORTHANC")
    files = []
    for dataset in [*cine("study", "a", Place()), image("study", "b"), image("other")]:
        files.append(tmp_path / f"{dataset.SOPInstanceUID}.dcm")
        files[-1].write_bytes(part10(dataset))
    send_files(files, RemoteEntity(HOST, pacs.dicom_port, pacs.ae_title, "MR"), lambda: None)
    assert inquiry(pacs.dicom_port)(STUDY) == ArchiveCount(13, "ORTHANC")


@pytest.fixture
def answering() -> Iterator[tuple[int, list[tuple[int, Dataset | None]]]]:
    """A PACS that answers queries at level SERIES with the contents of the list."""
    answers: list[tuple[int, Dataset | None]] = []

    def answer(event: evt.Event) -> Iterator[tuple[int, Dataset | None]]:
        identifier: Any = event.identifier
        if identifier.QueryRetrieveLevel == "SERIES":
            yield from answers

    ae = AE(ae_title="PACS")
    ae.add_supported_context(StudyRootQueryRetrieveInformationModelFind)
    port = find_free_port()
    server: Any = ae.start_server(
        (HOST, port), block=False, evt_handlers=[(evt.EVT_C_FIND, answer)]
    )
    yield port, answers
    server.shutdown()


def series_match(instances: int) -> Dataset:
    match = Dataset()
    match.QueryRetrieveLevel = "SERIES"
    match.NumberOfSeriesRelatedInstances = instances
    return match


def test_series_counts_are_added_if_the_study_has_no_count(
    answering: tuple[int, list[tuple[int, Dataset | None]]],
) -> None:
    port, answers = answering
    answers += [(0xFF00, series_match(25)), (0xFF00, series_match(7))]
    assert inquiry(port, "PACS")(STUDY) == ArchiveCount(32, "PACS")


def test_the_query_is_recorded_in_the_audit_trail(
    answering: tuple[int, list[tuple[int, Dataset | None]]],
) -> None:
    port, _ = answering
    trail = FakeTrail()
    asked = InstanceCountSettings(ae_title="PACS", host=HOST, port=port, timeout_s=5)
    InstanceCountQuery("CMRTRIAGE", asked, trail)(STUDY)
    ((query,),) = [event.objects for event in trail.events]
    assert query.id == StudyRootQueryRetrieveInformationModelFind
    assert STUDY.study_uid.encode() in (query.query or b"")


def test_a_refused_query_is_a_failure(
    answering: tuple[int, list[tuple[int, Dataset | None]]],
) -> None:
    port, answers = answering
    answers += [(0xA700, None)]
    with pytest.raises(DeliveryFailed, match="0xA700"):
        inquiry(port, "PACS")(STUDY)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of pynetdicom
def test_a_pacs_that_does_not_answer_is_a_failure() -> None:
    with pytest.raises(DeliveryFailed, match="PACS at .* does not answer"):
        inquiry(find_free_port(), "PACS", 1)(STUDY)
