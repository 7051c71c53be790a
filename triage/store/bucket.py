"""The operations on an S3-compatible bucket that the spool needs.

An object is never overwritten, and a write counts only if the server has compared the bytes with
their SHA-256. A server that ignores `If-None-Match` or `x-amz-checksum-sha256` is detected before
the first instance is written: see `probe`.

Every failure is raised as SpoolUnavailable, SpoolFull, or FileNotFoundError for a missing key.
After a request without a response, all further requests fail at once for AWAY_S, so that callers do
not wait for one timeout after the other; only `check_reachable` is sent.
"""

import errno
import hashlib
import ssl
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO
from uuid import uuid4

from botocore.config import Config
from botocore.configloader import raw_config_parse
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConfigNotFound,
    ConfigParseError,
    ConnectionError,  # noqa: A004 - the client's name for it
    FlexibleChecksumError,
    HTTPClientError,
)
from botocore.session import Session

from triage.config import SpoolSettings as Settings
from triage.domain.errors import ConfigurationError, SpoolFull, SpoolUnavailable
from triage.domain.retention import StoredFile

#: Bytes per part; a larger file is sent in several parts, one in memory at a time.
PART = 16 << 20
#: Bytes per read.
PIECE = 1 << 20
ATTEMPTS = 2
CONNECT_S = 3.0
AWAY_S = 5.0
CONNECTIONS = 64
#: Attempts of a write that conflicts with another write of the same key.
CONFLICT_ATTEMPTS = 5
CONFLICT_PAUSE_S = 0.2
DIGEST = "sha256"  #: the metadata field of an object that holds its digest
FULL = {"XMinioStorageFull", "QuotaExceeded", "InsufficientStorage"}
UNANSWERED = (ConnectionError, HTTPClientError)
NO_KEY = {"NoSuchKey", "404"}
#: Statuses of a temporary failure, in addition to 5xx.
BUSY = {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.REQUEST_TIMEOUT}


class Bucket:
    """Objects by key, without the prefix of the settings. Thread-safe."""

    def __init__(self, settings: Settings, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._name = settings.bucket or ""
        self._prefix = settings.prefix
        self._place = settings.endpoint or "AWS"
        self._monotonic = monotonic
        self._away_since: float | None = None
        self._client: Any = _client(settings)

    def __str__(self) -> str:
        return f"s3://{self._name}/{self._prefix} at {self._place}"

    @property
    def is_away(self) -> bool:
        """Whether the last request had no response."""
        return self._away_since is not None

    def check_reachable(self) -> None:
        """Send a request to the bucket; raise SpoolUnavailable if it fails."""
        with self._translate_errors():
            self._client.head_bucket(Bucket=self._name)

    def put(self, key: str, path: Path, digest: str) -> bool:
        """Write a file under a new key. Returns False if the key exists.

        `digest` is the file's SHA-256 in hexadecimal.
        """
        self._refuse_while_away()
        for _ in range(CONFLICT_ATTEMPTS):
            with self._translate_errors():
                try:
                    self._write(key, path, digest)
                except ClientError as error:
                    status = _status(error)
                    if status == HTTPStatus.PRECONDITION_FAILED:
                        return False
                    if status != HTTPStatus.CONFLICT:  # a concurrent write of the same key
                        raise
                else:
                    return True
            time.sleep(CONFLICT_PAUSE_S)
        raise SpoolUnavailable(f"{self} is busy with another write of the same key: {key}")

    def read_digest(self, key: str) -> str:
        """Return the SHA-256 stored with an object; empty if this program did not write it."""
        self._refuse_while_away()
        with self._translate_errors():
            head = self._client.head_object(**self._at(key))
            return str(head["Metadata"].get(DIGEST, ""))

    def read_bytes(self, key: str) -> bytes:
        """Return an object; raise OSError if its checksum is wrong."""
        with self._open(key) as body:
            return bytes(body.read())

    def read(self, key: str, take: Callable[[bytes], object]) -> None:
        """Pass an object to `take` in pieces; raise OSError if its checksum is wrong."""
        with self._open(key) as body:
            while piece := body.read(PIECE):
                take(piece)

    def remove(self, key: str) -> None:
        """Remove an object if it exists."""
        self._refuse_while_away()
        with self._translate_errors():
            self._client.delete_object(**self._at(key))

    def list_keys(self, prefix: str) -> Iterator[str]:
        """Yield the keys with a prefix."""
        for stored in self.list_objects(prefix):
            yield stored.path

    def list_objects(self, prefix: str) -> Iterator[StoredFile]:
        """Yield the objects with a key prefix."""
        self._refuse_while_away()
        with self._translate_errors():
            pages = self._client.get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=self._name, Prefix=self._prefix + prefix):
                for entry in page.get("Contents", ()):
                    key = entry["Key"].removeprefix(self._prefix)
                    yield StoredFile(key, entry["Size"], entry["LastModified"].timestamp())

    def abort_uploads(self, older_than_s: float) -> None:
        """Abort multipart uploads that were started so long ago and never completed."""
        self._refuse_while_away()
        limit = datetime.now(UTC) - timedelta(seconds=older_than_s)
        with self._translate_errors():
            pages = self._client.get_paginator("list_multipart_uploads")
            for page in pages.paginate(Bucket=self._name, Prefix=self._prefix):
                for upload in page.get("Uploads", ()):
                    if upload["Initiated"] < limit:
                        self._client.abort_multipart_upload(
                            Bucket=self._name, Key=upload["Key"], UploadId=upload["UploadId"]
                        )

    def probe(self) -> None:
        """Write, read and remove a probe object.

        Raises:
            ConfigurationError: the store ignores a header that the spool depends on.
            SpoolUnavailable: the store does not answer or refuses the probe.
        """
        key = f"probe-{uuid4().hex}"
        try:
            self._try_out(key)
        finally:
            with suppress(SpoolUnavailable):
                self.remove(key)

    def _try_out(self, key: str) -> None:
        one, two = hashlib.sha256(b"one").hexdigest(), hashlib.sha256(b"two").hexdigest()
        self._require_checksums(key, two)
        if (refused := self._status_of(lambda: self._put_object(key, b"one", one))) is not None:
            raise SpoolUnavailable(f"{self} refused a probe with {refused}")
        others = (
            lambda: self._put_object(key, b"two", two),
            lambda: self._put_in_parts(key, BytesIO(b"two"), two),
        )
        is_safe = all(self._status_of(write) == HTTPStatus.PRECONDITION_FAILED for write in others)
        if not is_safe or self.read_bytes(key) != b"one":
            raise ConfigurationError(
                f"{self} overwrites existing objects: use an object store that supports the "
                "header If-None-Match"
            )

    def _require_checksums(self, key: str, wrong_digest: str) -> None:
        """Raise ConfigurationError if the store accepts a wrong digest."""
        wrong = self._status_of(lambda: self._put_object(key, b"one", wrong_digest))
        if wrong is None:
            raise ConfigurationError(
                f"{self} accepts data that does not match its checksum: use an object store that "
                "supports the header x-amz-checksum-sha256"
            )
        if wrong not in {HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY}:
            raise SpoolUnavailable(
                f"{self} refused a probe with {wrong}: may this user write to it?"
            )

    def _status_of(self, write: Callable[[], None]) -> int | None:
        """Return the HTTP status of a refused write, None if it was accepted."""
        with self._translate_errors():
            try:
                write()
            except ClientError as error:
                if (status := _status(error)) >= HTTPStatus.INTERNAL_SERVER_ERROR:
                    raise
                return status
        return None

    def _write(self, key: str, path: Path, digest: str) -> None:
        put = self._put_object if path.stat().st_size <= PART else self._put_in_parts
        with path.open("rb") as file:
            put(key, file, digest)

    def _put_object(self, key: str, body: Any, digest: str) -> None:
        self._client.put_object(
            **self._at(key),
            Body=body,
            IfNoneMatch="*",
            ChecksumSHA256=_to_base64(bytes.fromhex(digest)),
            Metadata={DIGEST: digest},
        )

    def _put_in_parts(self, key: str, file: BinaryIO, digest: str) -> None:
        begun = self._client.create_multipart_upload(
            **self._at(key), ChecksumAlgorithm="SHA256", Metadata={DIGEST: digest}
        )
        upload = {**self._at(key), "UploadId": begun["UploadId"]}
        try:
            parts = list(self._parts(file, upload))
            self._client.complete_multipart_upload(
                **upload, MultipartUpload={"Parts": parts}, IfNoneMatch="*"
            )
        except ClientError:  # an upload without a response is left to `abort_uploads`
            with suppress(ClientError, BotoCoreError):
                self._client.abort_multipart_upload(**upload)
            raise

    def _parts(self, file: BinaryIO, upload: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        """Send a file in parts; yield the entries for the request that completes the upload."""
        number = 0
        while piece := file.read(PART):
            number += 1
            checksum = _to_base64(hashlib.sha256(piece).digest())
            uploaded = self._client.upload_part(
                **upload, PartNumber=number, Body=piece, ChecksumSHA256=checksum
            )
            yield {"PartNumber": number, "ETag": uploaded["ETag"], "ChecksumSHA256": checksum}

    @contextmanager
    def _open(self, key: str) -> Iterator[Any]:
        self._refuse_while_away()
        with (
            self._translate_errors(),
            self._client.get_object(**self._at(key), ChecksumMode="ENABLED")["Body"] as body,
        ):
            yield body

    def _at(self, key: str) -> dict[str, str]:
        return {"Bucket": self._name, "Key": self._prefix + key}

    def _refuse_while_away(self) -> None:
        since = self._away_since
        if since is not None and self._monotonic() - since < AWAY_S:
            raise SpoolUnavailable(f"{self} does not answer")

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        """Raise the client's errors as domain errors, and note whether there was a response."""
        try:
            yield
        except FlexibleChecksumError as error:
            raise OSError(errno.EIO, "the checksum of an object is wrong") from error
        except ClientError as error:
            raise self._translate(error) from error
        except BotoCoreError as error:
            if not isinstance(error, UNANSWERED):
                raise SpoolUnavailable(
                    f"a request to {self} failed ({type(error).__name__})"
                ) from error
            self._away_since = self._monotonic()
            raise SpoolUnavailable(f"{self} does not answer ({type(error).__name__})") from error
        else:
            self._away_since = None

    def _translate(self, error: ClientError) -> Exception:
        status, code = _status(error), str(error.response.get("Error", {}).get("Code", ""))
        if code in FULL or status == HTTPStatus.INSUFFICIENT_STORAGE:
            return SpoolFull(f"no room left in {self}")
        is_away = status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in BUSY
        self._away_since = self._monotonic() if is_away else None
        is_of_key = error.operation_name in {"GetObject", "HeadObject"} and code in NO_KEY
        if status == HTTPStatus.NOT_FOUND and is_of_key:
            return FileNotFoundError(errno.ENOENT, "the object store has no such object")
        return SpoolUnavailable(f"{self} answers {code or status} to {error.operation_name}")


def _client(settings: Settings) -> Any:
    keys = {} if settings.credentials is None else _read_keys(settings.credentials)
    if settings.ca is not None:
        _check_ca(settings.ca)
    try:
        return Session().create_client(
            "s3",
            region_name=settings.region or ("us-east-1" if settings.endpoint else None),
            endpoint_url=settings.endpoint,
            verify=None if settings.ca is None else str(settings.ca),
            config=_client_config(settings),
            **keys,
        )
    except (BotoCoreError, ValueError) as error:
        raise ConfigurationError(f"spool: {error}") from None


def _client_config(settings: Settings) -> Config:
    return Config(
        connect_timeout=min(CONNECT_S, settings.timeout_s),
        read_timeout=settings.timeout_s,
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
        max_pool_connections=CONNECTIONS,
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        # Object stores other than AWS seldom have a host name per bucket.
        s3={"addressing_style": "path" if settings.endpoint else "auto"},
    )


def _check_ca(path: Path) -> None:
    """Raise ConfigurationError at the start; the client would fail on the first instance."""
    try:
        ssl.create_default_context(cafile=path)
    except OSError:  # ssl.SSLError is one
        raise ConfigurationError(
            f"spool.ca {path} cannot be read or contains no PEM certificate"
        ) from None


def _read_keys(path: Path) -> dict[str, str]:
    """Return the keys of an AWS credentials file; errors never quote its content."""
    try:
        default = raw_config_parse(str(path)).get("default", {})
        return {
            "aws_access_key_id": default["aws_access_key_id"],
            "aws_secret_access_key": default["aws_secret_access_key"],
        }
    except (ConfigNotFound, ConfigParseError, KeyError, AttributeError):
        raise ConfigurationError(
            f"spool.credentials {path} cannot be read or has no section [default] with "
            "aws_access_key_id and aws_secret_access_key"
        ) from None


def _status(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _to_base64(digest: bytes) -> str:
    return b64encode(digest).decode()
