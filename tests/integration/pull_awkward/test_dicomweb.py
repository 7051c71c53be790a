"""`triage pull` from DICOMweb archives that answer wrongly, late or in part."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset

from tests.builders.images import image, part10
from tests.integration.pull_awkward.archives import (
    STUDY,
    UID,
    patient,
)
from tests.integration.retrieval import configured, fetched, names
from tests.waiting import HOST
from triage.domain.archive import ArchiveQuery
from triage.domain.errors import ArchiveFailed, ConfigurationError
from triage.pipeline.retrieve import RetrieveOutcome, StudyRetriever
from triage.store.download import FolderDownloadTarget


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
