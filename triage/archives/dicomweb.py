"""An archive that is searched with QIDO-RS and sends with WADO-RS (PS3.18 10.6, 10.4).

A study is written from the socket to the disk in pieces, so memory does not grow with its size. The
Authorization header is sent to the configured host only: redirections are not followed.
"""

import json
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import httpx2

from triage.archives.multipart import read_boundary, read_parts
from triage.config import DicomwebArchiveSettings
from triage.domain.archive import ArchivedStudy, ArchiveQuery, RetrieveResponse
from triage.domain.errors import (
    ArchiveFailed,
    ArchiveUnreachable,
    ConfigurationError,
    InstanceRefused,
)
from triage.domain.retry_after import read_retry_after
from triage.ports.archive import StudyDownload

#: Requests instances in the transfer syntax in which they are stored (PS3.18 8.7.3.5.2).
AS_STORED = 'multipart/related; type="application/dicom"; transfer-syntax=*'
PIECE_BYTES = 1 << 18
PAGE = 100  #: matches per request
PAUSE_MAX_S = 3600.0  #: longest pause that a Retry-After header can cause
OK, PARTIAL, NO_CONTENT, NOT_FOUND = 200, 206, 204, 404
LOGIN = {401, 403}
LATER = {408, 429, 502, 503, 504}  #: statuses after which the request is repeated later
#: Attributes of a match as tags (PS3.18 10.6.3).
STUDY_UID, STUDY_DATE, MODALITIES = "0020000D", "00080020", "00080061"
DESCRIPTION, PATIENT_ID, INSTANCES = "00081030", "00100020", "00201208"


class WebArchive:
    """An archive that is reached over DICOMweb; implements `Archive`."""

    def __init__(self, settings: DicomwebArchiveSettings) -> None:
        self._settings = settings
        self._authorization = settings.read_header()
        self._tls = _tls_context(settings)

    def find(self, search: ArchiveQuery) -> Iterator[ArchivedStudy]:
        """Yield the matching studies, page by page until a page has no new study."""
        seen: set[str] = set()
        while page := self._find_page(search, len(seen)):
            new = [study for study in page if study.study_uid not in seen]
            if not new:
                return  # the service ignores the offset
            yield from new
            seen |= {study.study_uid for study in new}

    def fetch(self, study: ArchivedStudy, download: StudyDownload) -> RetrieveResponse:
        """Receive the study as one response with a part for each instance."""
        address = f"/studies/{study.study_uid}"
        with self._request(address, {"Accept": AS_STORED}) as response:
            if response.status_code in {NOT_FOUND, NO_CONTENT}:
                return RetrieveResponse(words=f"HTTP {response.status_code}")
            boundary = read_boundary(response.headers.get("Content-Type", ""))
            for part in read_parts(response.iter_bytes(PIECE_BYTES), boundary):
                _store(part, download)
            partial = response.status_code == PARTIAL
            return RetrieveResponse(whole=not partial, words="HTTP 206" if partial else "")

    def _find_page(self, search: ArchiveQuery, offset: int) -> list[ArchivedStudy]:
        query = [*query_parameters(search), ("limit", str(PAGE)), ("offset", str(offset))]
        headers = {"Accept": "application/dicom+json"}
        with self._request("/studies", headers, query) as response:
            if response.status_code == NOT_FOUND:
                raise ConfigurationError(f"HTTP 404 for {self._settings.url}/studies: check url")
            if response.status_code == NO_CONTENT:
                return []
            return _read_studies(response.read())

    @contextmanager
    def _request(
        self, address: str, headers: dict[str, str], query: Sequence[tuple[str, str]] = ()
    ) -> Iterator[httpx2.Response]:
        """Yield a response before its body is read.

        Raises:
            ArchiveUnreachable: The service does not answer, or asks for a pause.
            ArchiveFailed: The connection ended, or the status is not expected.
            ConfigurationError: The service rejects the authorization.
        """
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
            raise ArchiveFailed(f"the connection ended ({type(error).__name__})") from None

    def _client(self) -> httpx2.Client:
        """Return a client for one request; connections are not kept between requests."""
        return httpx2.Client(
            headers=self._authorization,
            timeout=self._settings.timeout_s,
            verify=self._tls,
            follow_redirects=False,
            trust_env=False,  # no proxy from the environment
        )


def _tls_context(settings: DicomwebArchiveSettings) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=settings.trusted)
    except OSError:  # ssl.SSLError is a subclass
        raise ConfigurationError(f"trusted: {settings.trusted} holds no certificates") from None


def _check(response: httpx2.Response) -> None:
    code = response.status_code
    if code in {OK, PARTIAL, NO_CONTENT, NOT_FOUND}:
        return
    if code in LOGIN:
        raise ConfigurationError(f"HTTP {code}: the archive rejects the configured authorization")
    if code in LATER:
        asked_s = read_retry_after(response.headers.get("Retry-After", ""), datetime.now(UTC))
        after_s = min(asked_s, PAUSE_MAX_S)
        raise ArchiveUnreachable(f"HTTP {code}: the archive asks for a pause", after_s)
    raise ArchiveFailed(f"it answered HTTP {code}")


def _store(part: Iterator[bytes], download: StudyDownload) -> None:
    """Store a part; if it is not an instance of the study, `download` records the reason."""
    try:
        download.keep(part)
    except InstanceRefused:
        return


def query_parameters(search: ArchiveQuery) -> list[tuple[str, str]]:
    """Return the query parameters: matching keys and included fields (PS3.18 8.3.4)."""
    days = [f"{day:%Y%m%d}" if day else "" for day in (search.since, search.until)]
    parameters = [
        ("StudyInstanceUID", search.study_uid),
        ("PatientID", search.patient_id),
        ("ModalitiesInStudy", search.modality),
        ("StudyDate", days[0] if days[0] == days[1] else "-".join(days)),
        ("includefield", DESCRIPTION),
        ("includefield", INSTANCES),
    ]
    return [(key, value) for key, value in parameters if value]


def _read_studies(body: bytes) -> list[ArchivedStudy]:
    """Return the studies in a DICOM JSON response (PS3.18 F). Raises ArchiveFailed."""
    try:
        matches = json.loads(body)
    except (ValueError, RecursionError):
        matches = None
    if not isinstance(matches, list) or not all(isinstance(match, dict) for match in matches):
        raise ArchiveFailed("its answer to QIDO-RS is not a list of studies")
    return [_study(match) for match in matches]


def _study(match: dict[str, Any]) -> ArchivedStudy:
    count = _first(match, INSTANCES)
    return ArchivedStudy(
        study_uid=_first(match, STUDY_UID),
        study_date=_first(match, STUDY_DATE),
        modalities=_values(match, MODALITIES),
        instances=int(count) if count.isascii() and count.isdigit() else None,
        description=_first(match, DESCRIPTION),
        patient_id=_first(match, PATIENT_ID),
    )


def _values(match: dict[str, Any], tag: str) -> tuple[str, ...]:
    element = match.get(tag)
    values = element.get("Value") if isinstance(element, dict) else None
    return tuple(str(value).strip() for value in values) if isinstance(values, list) else ()


def _first(match: dict[str, Any], tag: str) -> str:
    return next(iter(_values(match, tag)), "")
