"""Archives that answer what they should not, go away, or are asked by a pull that is killed."""

import json
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
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
    StudyRootQueryRetrieveInformationModelMove,
)

from tests.builders.images import SliceGeometry as Place
from tests.builders.images import cine, image, part10, uid
from tests.fakes import FakeClock
from tests.integration.command_line import run_triage
from tests.integration.retrieval import command, configured, fetched, names, opened
from tests.waiting import HOST, wait_until
from triage.cli.demo_site import find_free_port
from triage.domain.archive import ArchiveQuery
from triage.domain.errors import ArchiveFailed, ConfigurationError
from triage.pipeline.retrieve import RetrieveOutcome, StudyRetriever
from triage.store.download import FolderDownloadTarget, lock_download_folder

UID = uid("study")
STUDY = cine("study", "a", Place(), 3)
Answers = Iterator[tuple[Any, Any]]
Answer = Callable[[evt.Event], Answers]
PENDING, SUCCESS = 0xFF00, 0x0000


def match(study_uid: str, instances: int | None = 3) -> Dataset:
    found = Dataset()
    found.QueryRetrieveLevel = "STUDY"
    found.add_new(0x0020000D, "UI", "")
    found[0x0020000D]._value = study_uid  # what pydicom would not let pass
    found.StudyDate = "20240131"
    if instances is not None:
        found.NumberOfStudyRelatedInstances = instances
    return found


def finds(*found: Dataset, status: int = SUCCESS) -> Answer:
    def answer(_: evt.Event) -> Answers:
        yield from ((PENDING, each) for each in found)
        yield status, None

    return answer


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


def patient(config: Path) -> StudyRetriever:
    """A pull that waits by a clock of its own."""
    clock = FakeClock()
    puller = opened(config)
    puller.sleep = clock.pass_s
    return puller


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    with lock_download_folder(tmp_path / "into"):
        yield tmp_path / "into"


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


# -- C-MOVE


@contextmanager
def moving(
    folder: Path, to: tuple[str, int] | None, move: Callable[[int], Answers]
) -> Iterator[StudyRetriever]:
    """An archive that knows one destination; `move` is told our port."""
    ours = find_free_port()

    def answer(_: evt.Event) -> Any:
        yield (HOST, ours) if to is None else to
        yield from move(ours)

    ae = AE(ae_title="PACS")
    for model in (
        StudyRootQueryRetrieveInformationModelFind,
        StudyRootQueryRetrieveInformationModelMove,
    ):
        ae.add_supported_context(model)
    ae.add_requested_context(MRImageStorage)
    port = find_free_port()
    handlers: Any = [(evt.EVT_C_FIND, finds(match(UID))), (evt.EVT_C_MOVE, answer)]
    server: Any = ae.start_server((HOST, port), block=False, evt_handlers=handlers)
    settings = {"kind": "dicom", "ae_title": "PACS", "host": HOST, "port": port, "timeout_s": 5}
    move_to = {"ae_title": "PULLING", "port": ours, "sends_as": ["PACS_STORE"]}
    yield patient(configured(folder.parent, pacs={**settings, "move_to": move_to}))
    server.shutdown()


def whole(_port: int) -> Answers:
    yield cast(Any, len(STUDY))
    yield from ((PENDING, each) for each in STUDY)


def store_as(port: int, calling: str, called: str, sent: Dataset, **originator: Any) -> int | None:
    """Store from elsewhere; return the status, None where the association was rejected."""
    ae = AE(ae_title=calling)
    ae.add_requested_context(MRImageStorage)
    association = ae.associate(HOST, port, ae_title=called)
    if not association.is_established:
        return None
    try:
        return int(association.send_c_store(sent, **originator).Status)
    finally:
        association.release()


def test_c_move_files_what_the_archive_sends(folder: Path) -> None:
    with moving(folder, None, whole) as puller:
        assert puller.retrieve(FolderDownloadTarget(folder), UID) == (RetrieveOutcome.FETCHED, "")
    assert fetched(folder) == {UID: names(STUDY)}


def test_while_a_study_is_moved_nobody_else_gets_in(folder: Path) -> None:
    answers: dict[str, int | None] = {}
    mine, his = ({"originator_aet": title, "originator_id": 1} for title in ("CMRTRIAGE", "HIS"))

    def move(port: int) -> Answers:
        other, late = image("other"), image(number=9)
        answers["stranger"] = store_as(port, "STRANGER", "PULLING", late)
        answers["called"] = store_as(port, "PACS", "OTHER", late)
        answers["study"] = store_as(port, "PACS", "PULLING", other, **mine)
        answers["originator"] = store_as(port, "PACS", "PULLING", late, **his)
        answers["store"] = store_as(port, "PACS_STORE", "PULLING", STUDY[0])
        yield from whole(port)

    with moving(folder, None, move) as puller:
        outcome, why = puller.retrieve(FolderDownloadTarget(folder), UID)
    assert answers == {
        "stranger": None,
        "called": None,
        "study": 0xA900,
        "originator": 0xA900,
        "store": 0,
    }
    assert outcome is RetrieveOutcome.INCOMPLETE
    assert why == "1 refused: an instance of another study"
    assert fetched(folder) == {}


def test_an_unknown_move_destination_ends_the_pull(folder: Path) -> None:
    with (
        moving(folder, cast(Any, (None, None)), whole) as puller,
        pytest.raises(ConfigurationError, match="does not know the AE title of move_to"),
    ):
        puller.retrieve(FolderDownloadTarget(folder), UID)


# -- DICOMweb


class LyingWebArchive:
    """A service whose answers are set: status, headers and body by path."""

    def __init__(self) -> None:
        self.found: Any = [{"0020000D": {"Value": [UID]}, "00201208": {"Value": [3]}}]
        self.answers: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.asked: list[tuple[str, str]] = []
        self.study(parts(*STUDY))

    def study(self, body: bytes, status: int = 200, **headers: str) -> None:
        kind = {"Content-Type": 'multipart/related; type="application/dicom"; boundary=b'}
        self.answers[f"/web/studies/{UID}"] = (status, {**kind, **headers}, body)

    def answer(self, path: str) -> tuple[int, dict[str, str], bytes]:
        if path == "/web/studies":
            return 200, {"Content-Type": "application/dicom+json"}, json.dumps(self.found).encode()
        return self.answers.get(path, (404, {}, b""))


def parts(*images: Dataset) -> bytes:
    head = b"--b\r\nContent-Type: application/dicom\r\n\r\n"
    return b"".join(head + part10(each) + b"\r\n" for each in images) + b"--b--\r\n"


@pytest.fixture
def web() -> Iterator[tuple[LyingWebArchive, str]]:
    served = LyingWebArchive()

    class LyingArchiveHandler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served.asked.append((self.path, self.headers.get("Authorization", "")))
            status, headers, body = served.answer(self.path.partition("?")[0])
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer((HOST, 0), LyingArchiveHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield served, f"http://{HOST}:{server.server_port}/web"
    server.shutdown()
    server.server_close()


def from_web(folder: Path, url: str, **more: Any) -> StudyRetriever:
    settings = {"kind": "dicomweb", "url": url, "instances_per_s": None, "timeout_s": 5, **more}
    return patient(configured(folder.parent, pacs=settings))


def test_the_authorization_is_sent_and_never_shown(
    web: tuple[LyingWebArchive, str], folder: Path
) -> None:
    served, url = web
    (folder.parent / "token").write_text("Bearer s3cret\n")
    puller = from_web(folder, url, authorization_file=str(folder.parent / "token"))
    assert puller.retrieve(FolderDownloadTarget(folder), UID) == (RetrieveOutcome.FETCHED, "")
    assert {said for _, said in served.asked} == {"Bearer s3cret"}
    assert fetched(folder) == {UID: names(STUDY)}


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (parts(*STUDY)[:-40], "ends before its closing boundary (3 attempts)"),
        (parts(*STUDY, image("other")), "1 refused: an instance of another study"),
        (parts(*STUDY[:2]), "2 of 3 instances came"),
        (b"--b--", "0 of 3 instances came"),
        (b"--b\r\n\r\nnot DICOM\r\n--b--", "1 refused: the data set does not parse"),
    ],
)
def test_a_body_that_is_not_the_study_is_no_study(
    web: tuple[LyingWebArchive, str], folder: Path, body: bytes, why: str
) -> None:
    served, url = web
    served.study(body)
    outcome, said = from_web(folder, url).retrieve(FolderDownloadTarget(folder), UID)
    assert outcome in {RetrieveOutcome.INCOMPLETE, RetrieveOutcome.FAILED}
    assert why in said
    assert fetched(folder) == {}


def test_partial_content_is_not_whole_even_where_nobody_counts(
    web: tuple[LyingWebArchive, str], folder: Path
) -> None:
    served, url = web
    served.found = [{"0020000D": {"Value": [UID]}}]
    served.study(parts(*STUDY), status=206)
    outcome, said = from_web(folder, url).retrieve(FolderDownloadTarget(folder), UID)
    assert outcome is RetrieveOutcome.INCOMPLETE
    assert said == "the archive reports that it did not send everything; its answer: HTTP 206"


@pytest.mark.parametrize(
    ("found", "why"),
    [
        ({"error": "no"}, "not a list of studies"),
        ([1, 2], "not a list of studies"),
        ("text", "not a list of studies"),
    ],
)
def test_an_answer_that_is_no_list_of_studies(
    web: tuple[LyingWebArchive, str], folder: Path, found: Any, why: str
) -> None:
    served, url = web
    served.found = found
    with pytest.raises(ArchiveFailed, match=why):
        from_web(folder, url).find(ArchiveQuery(modality="MR"))


@pytest.mark.parametrize(
    "wrong",
    [{}, {"0020000D": 1}, {"0020000D": {"Value": ["../../x"]}}, {"0020000D": {"Value": [7]}}],
)
def test_a_malformed_study_of_a_list_is_named(
    web: tuple[LyingWebArchive, str], folder: Path, wrong: dict[str, Any]
) -> None:
    served, url = web
    served.found = [wrong, *served.found]
    puller = from_web(folder, url)
    became = [
        puller.retrieve(FolderDownloadTarget(folder), study.study_uid, study)[0]
        for study in puller.find(ArchiveQuery(modality="MR"))
    ]
    assert became == [RetrieveOutcome.FAILED, RetrieveOutcome.FETCHED]
    assert fetched(folder) == {UID: names(STUDY)}


@pytest.mark.parametrize("status", [401, 403])
def test_a_login_that_is_not_taken_ends_the_pull(
    web: tuple[LyingWebArchive, str], folder: Path, status: int
) -> None:
    served, url = web
    served.study(b"", status)
    with pytest.raises(ConfigurationError, match="rejects the configured authorization"):
        from_web(folder, url).retrieve(FolderDownloadTarget(folder), UID)


def test_a_redirection_is_not_followed(web: tuple[LyingWebArchive, str], folder: Path) -> None:
    served, url = web
    served.study(b"", 302, Location="http://127.0.0.1:1/elsewhere")
    outcome, why = from_web(folder, url).retrieve(FolderDownloadTarget(folder), UID)
    assert outcome is RetrieveOutcome.FAILED
    assert "HTTP 302" in why


def test_a_wrong_url_is_no_empty_archive(web: tuple[LyingWebArchive, str], folder: Path) -> None:
    _, url = web
    with pytest.raises(ConfigurationError, match="check url"):
        from_web(folder, url + "/elsewhere").find(ArchiveQuery(modality="MR"))


def test_a_service_that_wants_a_pause_gets_it(
    web: tuple[LyingWebArchive, str], folder: Path
) -> None:
    served, url = web
    served.study(b"", 503, **{"Retry-After": "70"})
    puller = from_web(folder, url)
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        served.study(parts(*STUDY))

    puller.sleep = sleep
    assert puller.retrieve(FolderDownloadTarget(folder), UID)[0] is RetrieveOutcome.FETCHED
    assert pauses == [70]


# -- kill -9


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
