"""An archive that is asked over QIDO-RS and sends over WADO-RS (PS3.18 10.6, 10.4).

Rule: a study flows from the socket to the disk, in pieces; nothing of its size is held. The value
of the Authorization header goes to the configured host alone: redirections are not followed.
"""

import json
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import httpx2

from triage.archives.multipart import boundary_of, parts_of
from triage.config import DicomwebArchive
from triage.domain.archive import ArchivedStudy, ArchiveQuery, RetrieveResponse
from triage.domain.errors import (
    ArchiveFailed,
    ArchiveUnreachable,
    ConfigurationError,
    InstanceRefused,
)
from triage.ports.archive import StudyDownload

#: As they are stored, whatever that is (PS3.18 8.7.3.5.2).
AS_STORED = 'multipart/related; type="application/dicom"; transfer-syntax=*'
PIECE_BYTES = 1 << 18
PAGE = 100  #: matches that are asked for at a time
PAUSE_MAX_S = 3600.0
OK, PARTIAL, NO_CONTENT, NOT_FOUND = 200, 206, 204, 404
LOGIN = {401, 403}
LATER = {408, 429, 502, 503, 504}
#: PS3.18 10.6.3: attributes as tags.
STUDY_UID, STUDY_DATE, MODALITIES = "0020000D", "00080020", "00080061"
DESCRIPTION, PATIENT_ID, INSTANCES = "00081030", "00100020", "00201208"


class WebArchive:
    """See `ports.Archive`."""

    def __init__(self, settings: DicomwebArchive) -> None:
        self._settings = settings
        self._authorization = settings.read_header()
        self._trusted = _trusted(settings)

    def find(self, search: ArchiveQuery) -> Iterator[ArchivedStudy]:
        """Yield the studies that match, page by page until a page brings nothing new."""
        seen: set[str] = set()
        while page := self._page(search, len(seen)):
            new = [study for study in page if study.study_uid not in seen]
            if not new:
                return  # a service that knows no offset
            yield from new
            seen |= {study.study_uid for study in new}

    def fetch(self, study: ArchivedStudy, desk: StudyDownload) -> RetrieveResponse:
        """Have the study sent as one body, an instance a part."""
        address = f"/studies/{study.study_uid}"
        with self._answer(address, {"Accept": AS_STORED}) as response:
            if response.status_code in {NOT_FOUND, NO_CONTENT}:
                return RetrieveResponse(words=f"HTTP {response.status_code}")
            boundary = boundary_of(response.headers.get("Content-Type", ""))
            for part in parts_of(response.iter_bytes(PIECE_BYTES), boundary):
                _keep(part, desk)
            partial = response.status_code == PARTIAL
            return RetrieveResponse(whole=not partial, words="HTTP 206" if partial else "")

    def _page(self, search: ArchiveQuery, offset: int) -> list[ArchivedStudy]:
        query = [*query_of(search), ("limit", str(PAGE)), ("offset", str(offset))]
        headers = {"Accept": "application/dicom+json"}
        with self._answer("/studies", headers, query) as response:
            if response.status_code == NOT_FOUND:
                raise ConfigurationError(
                    f"HTTP 404 for {self._settings.url}/studies: is url right?"
                )
            if response.status_code == NO_CONTENT:
                return []
            return _studies(response.read())

    @contextmanager
    def _answer(
        self, address: str, headers: dict[str, str], query: Sequence[tuple[str, str]] = ()
    ) -> Iterator[httpx2.Response]:
        """Yield an answer whose body has not been read; what goes wrong in the block is told."""
        url = self._settings.url + address
        try:
            with (
                self._client() as client,
                client.stream("GET", url, headers=headers, params=[*query]) as response,
            ):
                _check(response)
                yield response
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            raise ArchiveUnreachable(f"{self._settings.url} does not answer: {error}") from None
        except httpx2.HTTPError as error:
            raise ArchiveFailed(f"the connection broke ({type(error).__name__})") from None

    def _client(self) -> httpx2.Client:
        """Return a client for one question: whoever asks seldom keeps no connection."""
        return httpx2.Client(
            headers=self._authorization,
            timeout=self._settings.timeout_s,
            verify=self._trusted,
            follow_redirects=False,
            trust_env=False,  # no proxy that nobody named in the settings
        )


def _trusted(settings: DicomwebArchive) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=settings.trusted)
    except OSError:  # ssl.SSLError is one
        raise ConfigurationError(f"trusted: {settings.trusted} holds no certificates") from None


def _check(response: httpx2.Response) -> None:
    code = response.status_code
    if code in {OK, PARTIAL, NO_CONTENT, NOT_FOUND}:
        return
    if code in LOGIN:
        raise ConfigurationError(f"HTTP {code}: the archive does not take authorization as it is")
    if code in LATER:
        after = response.headers.get("Retry-After", "")
        after_s = min(float(after), PAUSE_MAX_S) if after.isdecimal() else 0.0
        raise ArchiveUnreachable(f"HTTP {code}: it wants a pause", after_s)
    raise ArchiveFailed(f"it answered HTTP {code}")


def _keep(part: Iterator[bytes], desk: StudyDownload) -> None:
    """Keep a part, if it is an instance of the study; the desk notes why where it is not."""
    try:
        desk.keep(part)
    except InstanceRefused:
        return


def query_of(search: ArchiveQuery) -> list[tuple[str, str]]:
    """Return what is asked (PS3.18 8.3.4): keys that must match, and fields that are wanted."""
    days = [f"{day:%Y%m%d}" if day else "" for day in (search.since, search.until)]
    asked = [
        ("StudyInstanceUID", search.study_uid),
        ("PatientID", search.patient_id),
        ("ModalitiesInStudy", search.modality),
        ("StudyDate", days[0] if days[0] == days[1] else "-".join(days)),
        ("includefield", DESCRIPTION),
        ("includefield", INSTANCES),
    ]
    return [(key, value) for key, value in asked if value]


def _studies(body: bytes) -> list[ArchivedStudy]:
    """Return the studies of a DICOM JSON answer (PS3.18 F); raise where it is none."""
    try:
        matches = json.loads(body)
    except (ValueError, RecursionError):
        matches = None
    if not isinstance(matches, list) or not all(isinstance(each, dict) for each in matches):
        raise ArchiveFailed("its answer to QIDO-RS is no list of studies")
    return [_study(match) for match in matches]


def _study(match: dict[str, Any]) -> ArchivedStudy:
    counted = _first(match, INSTANCES)
    return ArchivedStudy(
        study_uid=_first(match, STUDY_UID),
        study_date=_first(match, STUDY_DATE),
        modalities=_values(match, MODALITIES),
        instances=int(counted) if counted.isascii() and counted.isdigit() else None,
        description=_first(match, DESCRIPTION),
        patient_id=_first(match, PATIENT_ID),
    )


def _values(match: dict[str, Any], tag: str) -> tuple[str, ...]:
    element = match.get(tag)
    values = element.get("Value") if isinstance(element, dict) else None
    return tuple(str(each).strip() for each in values) if isinstance(values, list) else ()


def _first(match: dict[str, Any], tag: str) -> str:
    return next(iter(_values(match, tag)), "")
