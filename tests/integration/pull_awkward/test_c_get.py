"""`triage pull` from archives that answer C-FIND and C-GET wrongly, late or in part."""

import signal
import subprocess
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any, cast

import pytest
from pydicom import Dataset, dcmread
from pynetdicom import AE, evt
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    MRImageStorage,
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
)

from tests.builders.images import SliceGeometry as Place
from tests.builders.images import cine, image, uid
from tests.integration.command_line import run_triage
from tests.integration.pull_awkward.archives import (
    PENDING,
    STUDY,
    UID,
    Answer,
    Answers,
    finds,
    match,
    patient,
)
from tests.integration.retrieval import command, configured, fetched, names
from tests.waiting import HOST, wait_until
from triage.cli.demo_site import find_free_port
from triage.domain.archive import ArchiveQuery
from triage.domain.errors import ConfigurationError
from triage.pipeline.retrieve import RetrieveOutcome
from triage.store.download import FolderDownloadTarget


def gets(*images: Dataset) -> Answer:
    def answer(_: evt.Event) -> Any:
        yield len(images)
        yield from ((PENDING, each) for each in images)

    return answer


def aborts(event: evt.Event) -> Any:
    yield 3
    yield PENDING, STUDY[0]
    event.assoc.abort()


class Pacs:
    """An archive of our own whose answers can be changed, and which can go away."""

    def __init__(self) -> None:
        self.port = find_free_port()
        self.find: Answer = finds(match(UID))
        self.get: Answer = gets(*STUDY)
        self._server: Any = None

    def start(self) -> None:
        ae = AE(ae_title="PACS")
        ae.add_supported_context(StudyRootQueryRetrieveInformationModelFind)
        ae.add_supported_context(StudyRootQueryRetrieveInformationModelGet)
        ae.add_supported_context(MRImageStorage, scu_role=True, scp_role=True)
        handlers: Any = [
            (evt.EVT_C_FIND, self._find),
            (evt.EVT_C_GET, self._get),
        ]
        self._server = ae.start_server((HOST, self.port), block=False, evt_handlers=handlers)

    def _find(self, event: evt.Event) -> Answers:
        return self.find(event)

    def _get(self, event: evt.Event) -> Answers:
        return self.get(event)

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server = None


@pytest.fixture
def pacs() -> Iterator[Pacs]:
    running = Pacs()
    running.start()
    yield running
    running.stop()


def archive(pacs: Pacs, **more: Any) -> dict[str, Any]:
    return {
        "kind": "dicom",
        "ae_title": "PACS",
        "host": HOST,
        "port": pacs.port,
        "timeout_s": 5,
        "instances_per_s": None,
        **more,
    }


def pulled(pacs: Pacs, folder: Path, **more: Any) -> tuple[RetrieveOutcome, str]:
    puller = patient(configured(folder.parent, pacs=archive(pacs, **more)))
    return puller.retrieve(FolderDownloadTarget(folder), UID)


def test_our_own_archive_is_a_good_one(pacs: Pacs, folder: Path) -> None:
    assert pulled(pacs, folder) == (RetrieveOutcome.FETCHED, "")
    assert fetched(folder) == {UID: names(STUDY)}


def test_an_instance_of_another_study_is_never_filed(pacs: Pacs, folder: Path) -> None:
    pacs.get = gets(*STUDY, image("other"))
    outcome, why = pulled(pacs, folder)
    assert outcome is RetrieveOutcome.INCOMPLETE
    assert "the archive could not send 1" in why
    assert "1 refused: an instance of another study" in why
    assert fetched(folder) == {}


def test_what_the_archive_cannot_send_is_counted(pacs: Pacs, folder: Path) -> None:
    ct = image(number=7, SOPClassUID="1.2.840.10008.5.1.4.1.1.2")
    pacs.get = gets(*STUDY, ct)  # of a class that it did not accept to send
    outcome, why = pulled(pacs, folder)
    assert outcome is RetrieveOutcome.INCOMPLETE
    assert "could not send 1" in why
    assert "0xB000 sub-operations ended" in why


def test_fewer_than_the_archive_has_are_no_study(pacs: Pacs, folder: Path) -> None:
    pacs.find = finds(match(UID, 4))
    outcome, why = pulled(pacs, folder)
    assert (outcome, why) == (RetrieveOutcome.INCOMPLETE, "3 of 4 instances came")


@pytest.mark.parametrize("wrong", ["../../etc/passwd", "..", "", "1.2/3", "none"])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_malformed_uid_is_named_and_the_others_are_fetched(
    pacs: Pacs, folder: Path, wrong: str
) -> None:
    pacs.find = finds(match(wrong), match(UID))
    puller = patient(configured(folder.parent, pacs=archive(pacs)))
    became = [
        puller.retrieve(FolderDownloadTarget(folder), study.study_uid, study)
        for study in list(puller.find(ArchiveQuery(modality="MR")))
    ]
    assert became == [
        (RetrieveOutcome.FAILED, "the archive names it by an invalid UID"),
        (RetrieveOutcome.FETCHED, ""),
    ]
    assert fetched(folder) == {UID: names(STUDY)}
    assert {*folder.parent.iterdir()} == {folder, folder.parent / "triage.yaml"}


def test_a_refused_question_is_told_in_words(pacs: Pacs, folder: Path) -> None:
    pacs.find = finds(status=0xA700)
    outcome, why = pulled(pacs, folder)
    assert outcome is RetrieveOutcome.FAILED
    assert "C-FIND was answered with 0xA700 out of resources" in why


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_archive_that_breaks_off_is_asked_again(pacs: Pacs, folder: Path) -> None:
    tries: list[Answer] = [aborts, gets(*STUDY)]

    def get(event: evt.Event) -> Answers:
        return tries.pop(0)(event)

    pacs.get = get
    assert pulled(pacs, folder) == (RetrieveOutcome.FETCHED, "")
    assert fetched(folder) == {UID: names(STUDY)}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of pynetdicom
def test_an_archive_that_comes_back_is_gone_on_with(pacs: Pacs, folder: Path) -> None:
    puller = patient(configured(folder.parent, pacs=archive(pacs)))
    (study,) = puller.find(ArchiveQuery(study_uid=UID))
    pacs.stop()
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 2:
            pacs.start()

    puller.sleep = sleep
    assert puller.retrieve(FolderDownloadTarget(folder), UID, study) == (
        RetrieveOutcome.FETCHED,
        "",
    )
    assert pauses == [5, 10]


def test_an_archive_without_c_get_is_told_how_to_be_set(pacs: Pacs, folder: Path) -> None:
    ae = AE(ae_title="FINDS")
    ae.add_supported_context(StudyRootQueryRetrieveInformationModelFind)
    port = find_free_port()
    server: Any = ae.start_server(
        (HOST, port), block=False, evt_handlers=[(evt.EVT_C_FIND, finds(match(UID)))]
    )
    try:
        with pytest.raises(ConfigurationError, match="accepts no .* GET .* or set move_to"):
            pulled(pacs, folder, ae_title="FINDS", port=port)
    finally:
        server.shutdown()


def test_a_killed_pull_goes_on_where_it_was(pacs: Pacs, tmp_path: Path) -> None:
    studies = {uid(name): cine(name, "a", Place(), 6) for name in ("one", "two", "three")}
    asked: list[str] = []

    def get(event: evt.Event) -> Any:
        wanted = cast(Any, event.identifier).StudyInstanceUID
        asked.append(wanted)
        yield from gets(*studies[wanted])(event)

    def find(event: evt.Event) -> Answers:
        yield from finds(match(cast(Any, event.identifier).StudyInstanceUID, 6))(event)

    pacs.get, pacs.find = get, find
    slow = configured(tmp_path, pacs=archive(pacs, instances_per_s=4))
    folder = tmp_path / "into"
    arguments = ("--from", "pacs", *studies, "--into", folder)
    first = subprocess.Popen(
        command(slow, *arguments), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    half = folder / ".pulling" / uid("two")
    wait_until(lambda: half.is_dir() and len(list(half.iterdir())) >= 2, what="half a study")
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert set(fetched(folder)) == {uid("one")}
    before = {path: path.stat().st_mtime_ns for path in (folder / uid("one")).iterdir()}
    asked.clear()
    fast = configured(tmp_path, pacs=archive(pacs))
    again = run_triage("pull", *arguments, config=fast)
    assert again.returncode == 0, again.stderr
    assert "2 fetched, 1 there already, 0 incomplete, 0 failed" in again.stdout
    assert asked == [uid("two"), uid("three")]
    assert fetched(folder) == {each: names(images) for each, images in studies.items()}
    assert before == {path: path.stat().st_mtime_ns for path in (folder / uid("one")).iterdir()}
    assert [path.name for path in (folder / ".pulling").iterdir()] == ["lock"]
    for images in studies.values():
        for sent in images:
            path = folder / sent.StudyInstanceUID / f"{sent.SOPInstanceUID}.dcm"
            assert dcmread(BytesIO(path.read_bytes())) == sent
