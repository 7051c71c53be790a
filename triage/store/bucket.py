"""A bucket of an S3-compatible object store, as far as the spool needs one.

Rule: nothing is ever overwritten, and nothing counts as written that the server has not compared
with its SHA-256. Servers that know `If-None-Match` or `x-amz-checksum-sha256` no better than to
ignore them are found out before the first instance is put there: see `try_out`.

Whatever goes wrong is told in our words: SpoolUnavailable, SpoolFull, or FileNotFoundError for a key that
is not there. After a request without an answer all others are refused for a few seconds, so that
nobody waits in a queue for one time-out after the other; `ask` alone goes through.
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
    ConnectionError,  # noqa: A004 - by this name the client has it
    FlexibleChecksumError,
    HTTPClientError,
)
from botocore.session import Session

from triage.config import SpoolSettings as Settings
from triage.domain.errors import ConfigurationError, SpoolFull, SpoolUnavailable
from triage.domain.retention import StoredFile

#: Bytes of a part; a larger file is sent in several, one of them in memory at a time.
PART = 16 << 20
#: Bytes that are read at a time.
PIECE = 1 << 20
ATTEMPTS = 2
CONNECT_S = 3.0
AWAY_S = 5.0
CONNECTIONS = 64
#: How often a write is tried that was disturbed by another one of the same key.
DISTURBED = 5
DISTURBED_S = 0.2
DIGEST = "sha256"  #: the name of the digest in the metadata of an object
FULL = {"XMinioStorageFull", "QuotaExceeded", "InsufficientStorage"}
UNANSWERED = (ConnectionError, HTTPClientError)
NO_KEY = {"NoSuchKey", "404"}
#: What a store answers that it cannot now, beside what begins with 5.
BUSY = {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.REQUEST_TIMEOUT}


class Bucket:
    """Objects by key, the prefix of the settings left out. Safe in any thread."""

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
        """Tell whether the last request went without an answer."""
        return self._away_since is not None

    def ask(self) -> None:
        """Ask whether the bucket is there; raise SpoolUnavailable."""
        with self._in_our_words():
            self._client.head_bucket(Bucket=self._name)

    def put(self, key: str, path: Path, digest: str) -> bool:
        """Write a file under a key that is free; return False where it is taken.

        `digest` is the file's SHA-256 in hexadecimal.
        """
        self._refuse_while_away()
        for _ in range(DISTURBED):
            with self._in_our_words():
                try:
                    self._write(key, path, digest)
                except ClientError as error:
                    status = _status(error)
                    if status == HTTPStatus.PRECONDITION_FAILED:
                        return False
                    if status != HTTPStatus.CONFLICT:  # somebody writes the same at this moment
                        raise
                else:
                    return True
            time.sleep(DISTURBED_S)
        raise SpoolUnavailable(f"{self} is busy with the same key: {key}")

    def digest(self, key: str) -> str:
        """Return the SHA-256 that an object was written with; empty where it was not by us."""
        self._refuse_while_away()
        with self._in_our_words():
            head = self._client.head_object(**self._at(key))
            return str(head["Metadata"].get(DIGEST, ""))

    def content(self, key: str) -> bytes:
        """Return an object; raise OSError where it is not what was written."""
        with self._opened(key) as body:
            return bytes(body.read())

    def read(self, key: str, take: Callable[[bytes], object]) -> None:
        """Read an object in pieces; raise OSError where it is not what was written."""
        with self._opened(key) as body:
            while piece := body.read(PIECE):
                take(piece)

    def remove(self, key: str) -> None:
        """Remove an object, if it is there."""
        self._refuse_while_away()
        with self._in_our_words():
            self._client.delete_object(**self._at(key))

    def keys(self, prefix: str) -> Iterator[str]:
        """Yield the keys that begin so."""
        for each in self.objects(prefix):
            yield each.path

    def objects(self, prefix: str) -> Iterator[StoredFile]:
        """Yield what lies below the keys that begin so."""
        self._refuse_while_away()
        with self._in_our_words():
            pages = self._client.get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=self._name, Prefix=self._prefix + prefix):
                for each in page.get("Contents", ()):
                    key = each["Key"].removeprefix(self._prefix)
                    yield StoredFile(key, each["Size"], each["LastModified"].timestamp())

    def abandon(self, older_than_s: float) -> None:
        """Give up what was begun so long ago and never became an object."""
        self._refuse_while_away()
        limit = datetime.now(UTC) - timedelta(seconds=older_than_s)
        with self._in_our_words():
            pages = self._client.get_paginator("list_multipart_uploads")
            for page in pages.paginate(Bucket=self._name, Prefix=self._prefix):
                for each in page.get("Uploads", ()):
                    if each["Initiated"] < limit:
                        self._client.abort_multipart_upload(
                            Bucket=self._name, Key=each["Key"], UploadId=each["UploadId"]
                        )

    def try_out(self) -> None:
        """Write, read and remove a probe; raise ConfigurationError or SpoolUnavailable with what fails."""
        key = f"probe-{uuid4().hex}"
        try:
            self._try_out(key)
        finally:
            with suppress(SpoolUnavailable):
                self.remove(key)

    def _try_out(self, key: str) -> None:
        one, two = hashlib.sha256(b"one").hexdigest(), hashlib.sha256(b"two").hexdigest()
        wrong = self._tried(lambda: self._put_object(key, b"one", two))
        if wrong is None:
            raise ConfigurationError(
                f"{self} takes what does not fit its checksum: it must know x-amz-checksum-sha256"
            )
        if wrong not in {HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY}:
            raise SpoolUnavailable(
                f"{self} refused a probe with {wrong}: may this user write there?"
            )
        if (refused := self._tried(lambda: self._put_object(key, b"one", one))) is not None:
            raise SpoolUnavailable(f"{self} refused a probe with {refused}")
        others = (
            lambda: self._put_object(key, b"two", two),
            lambda: self._put_in_parts(key, BytesIO(b"two"), two),
        )
        is_safe = all(self._tried(write) == HTTPStatus.PRECONDITION_FAILED for write in others)
        if not is_safe or self.content(key) != b"one":
            raise ConfigurationError(
                f"{self} overwrites what is there: it must know the header If-None-Match"
            )

    def _tried(self, write: Callable[[], None]) -> int | None:
        """Write something; return None where it was taken, else the status."""
        with self._in_our_words():
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
            ChecksumSHA256=_in_base64(bytes.fromhex(digest)),
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
        except ClientError:  # without any answer, it is left to `abandon`
            with suppress(ClientError, BotoCoreError):
                self._client.abort_multipart_upload(**upload)
            raise

    def _parts(self, file: BinaryIO, upload: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        """Send a file in parts; yield what ends the upload."""
        number = 0
        while piece := file.read(PART):
            number += 1
            checksum = _in_base64(hashlib.sha256(piece).digest())
            taken = self._client.upload_part(
                **upload, PartNumber=number, Body=piece, ChecksumSHA256=checksum
            )
            yield {"PartNumber": number, "ETag": taken["ETag"], "ChecksumSHA256": checksum}

    @contextmanager
    def _opened(self, key: str) -> Iterator[Any]:
        self._refuse_while_away()
        with (
            self._in_our_words(),
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
    def _in_our_words(self) -> Iterator[None]:
        """Turn the client's errors into ours, and remember whether there was an answer."""
        try:
            yield
        except FlexibleChecksumError as error:
            raise OSError(errno.EIO, "an object is not what was written") from error
        except ClientError as error:
            raise self._refused(error) from error
        except BotoCoreError as error:
            if not isinstance(error, UNANSWERED):
                raise SpoolUnavailable(
                    f"{self} cannot be asked ({type(error).__name__})"
                ) from error
            self._away_since = self._monotonic()
            raise SpoolUnavailable(f"{self} does not answer ({type(error).__name__})") from error
        else:
            self._away_since = None

    def _refused(self, error: ClientError) -> Exception:
        status, code = _status(error), str(error.response.get("Error", {}).get("Code", ""))
        if code in FULL or status == HTTPStatus.INSUFFICIENT_STORAGE:
            return SpoolFull(f"no room left in {self}")
        is_away = status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in BUSY
        self._away_since = self._monotonic() if is_away else None
        is_of_key = error.operation_name in {"GetObject", "HeadObject"} and code in NO_KEY
        if status == HTTPStatus.NOT_FOUND and is_of_key:
            return FileNotFoundError(errno.ENOENT, "it is not in the object store")
        return SpoolUnavailable(f"{self} answers {code or status} to {error.operation_name}")


def _client(settings: Settings) -> Any:
    keys = {} if settings.credentials is None else _keys_in(settings.credentials)
    if settings.ca is not None:
        _check_ca(settings.ca)
    try:
        return Session().create_client(
            "s3",
            region_name=settings.region or ("us-east-1" if settings.endpoint else None),
            endpoint_url=settings.endpoint,
            verify=None if settings.ca is None else str(settings.ca),
            config=Config(
                connect_timeout=min(CONNECT_S, settings.timeout_s),
                read_timeout=settings.timeout_s,
                retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
                max_pool_connections=CONNECTIONS,
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
                # Other stores than that of AWS seldom have a host name for each bucket.
                s3={"addressing_style": "path" if settings.endpoint else "auto"},
            ),
            **keys,
        )
    except (BotoCoreError, ValueError) as error:
        raise ConfigurationError(f"spool: {error}") from None


def _check_ca(path: Path) -> None:
    """Raise ConfigurationError now; the client would find out in the middle of an instance."""
    try:
        ssl.create_default_context(cafile=path)
    except OSError:  # ssl.SSLError is one
        raise ConfigurationError(
            f"spool.ca {path} cannot be read, or has no certificate (PEM) in it"
        ) from None


def _keys_in(path: Path) -> dict[str, str]:
    """Return the keys of an AWS credentials file; its words never stand in an error."""
    try:
        default = raw_config_parse(str(path)).get("default", {})
        return {
            "aws_access_key_id": default["aws_access_key_id"],
            "aws_secret_access_key": default["aws_secret_access_key"],
        }
    except (ConfigNotFound, ConfigParseError, KeyError, AttributeError):
        raise ConfigurationError(
            f"spool.credentials {path} cannot be read, or has no section [default] with "
            "aws_access_key_id and aws_secret_access_key"
        ) from None


def _status(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _in_base64(digest: bytes) -> str:
    return b64encode(digest).decode()
