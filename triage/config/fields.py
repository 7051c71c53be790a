"""Types of single settings fields, with messages that show what a valid value looks like."""

import base64
import binascii
import re
from ipaddress import ip_network
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from triage.domain.hours import HOURS
from triage.domain.uid import has_storage_root, is_uid

AE_TITLE_MAX = 16
PUBLIC_KEY_BYTES = 32  #: of Ed25519 (RFC 8032)
LOOPBACK = ("127.0.0.1", "::1", "localhost")
FINGERPRINT = re.compile(r"[0-9a-f]{64}")
HASHED_TOKEN = re.compile(r"sha256\$[0-9a-f]{64}")  #: the output of `triage token`
#: The output of `triage password`; triage/web/passwords.py writes and reads it.
HASHED_PASSWORD = re.compile(r"scrypt\$\d{1,2}\$\d{1,2}\$\d{1,2}\$[0-9a-f]{32}\$[0-9a-f]{64}")
USER = re.compile(r"[a-z][a-z0-9._-]{0,31}")


def _check_ae_title(value: str) -> str:
    """PS3.5 6.2, VR AE: 1 to 16 printable ASCII characters, no backslash, no outer spaces."""
    if not 1 <= len(value) <= AE_TITLE_MAX or value != value.strip() or "\\" in value:
        raise ValueError("an AE title has 1 to 16 characters, no backslash, no outer spaces")
    if not (value.isascii() and value.isprintable()):
        raise ValueError("an AE title has only printable ASCII characters")
    return value


def _check_broker_url(value: str) -> str:
    if not value.startswith(("redis://", "rediss://", "unix://")):
        raise ValueError("write a Redis as redis://host:6379/0, rediss:// or unix:///path")
    return value


def _check_postgres_url(value: str) -> str:
    if not value.startswith("postgresql+psycopg://"):
        raise ValueError("write a PostgreSQL as postgresql+psycopg://user:password@host/db")
    return value


def _check_network(value: str) -> str:
    try:
        return str(ip_network(value))
    except ValueError as error:
        raise ValueError(f"{error}; write an address as 10.1.2.3 or 10.1.2.0/24") from None


def _normalize_certificate(value: str) -> str:
    """Return a fingerprint in lower case without colons, and a certificate's name unchanged."""
    digits = value.replace(":", "").lower()
    return digits if FINGERPRINT.fullmatch(digits) else value


def _check_storage_class(value: str) -> str:
    if not is_uid(value):
        raise ValueError("write a SOP class as its UID, e.g. 1.2.840.113619.4.30")
    if not has_storage_root(value):
        raise ValueError(
            "is no storage SOP class: those of DICOM begin with 1.2.840.10008.5.1.4.1.1"
        )
    return value


def _check_hours(value: str) -> str:
    if not HOURS.fullmatch(value):
        raise ValueError("write hours as 22:00-06:00")
    return value


def _check_dicomweb_url(value: str) -> str:
    """Reject a password and a query in the URL, which would be shown and logged on the way."""
    url = urlsplit(value)
    if url.scheme not in {"http", "https"} or not url.hostname or url.query or url.fragment:
        raise ValueError("write a DICOMweb service as https://host/dicom-web")
    if url.username is not None or url.password is not None:
        raise ValueError("user and password go into authorization: Basic and their base64")
    return value.rstrip("/")


def _check_web_url(value: str) -> str:
    """Reject a password and a query in the URL, which would be shown and logged on the way."""
    url = urlsplit(value)
    if url.scheme not in {"http", "https"} or not url.hostname or url.query or url.fragment:
        raise ValueError("write an address as https://host/path, without ? and #")
    if url.username is not None or url.password is not None:
        raise ValueError("an address must not contain a user or a password")
    return value


def _check_token(value: str) -> str:
    if not HASHED_TOKEN.fullmatch(value):
        raise ValueError("is no hashed token: `triage token NAME` prints the line to use")
    return value


def _check_hashed_password(value: str) -> str:
    if not HASHED_PASSWORD.fullmatch(value):
        raise ValueError("is no hashed password: `triage password NAME` prints the line to use")
    return value


def _check_public_key(value: str) -> str:
    try:
        length = len(base64.b64decode(value, validate=True))
    except binascii.Error:
        length = 0
    if length != PUBLIC_KEY_BYTES:
        raise ValueError("is no public key: `python -m export sign` prints that of a key file")
    return value


def _check_user(value: str) -> str:
    if not USER.fullmatch(value):
        raise ValueError("a user's name has a to z, 0 to 9, . _ and -, and begins with a letter")
    return value


PublicKey = Annotated[str, AfterValidator(_check_public_key)]
StorageClass = Annotated[str, AfterValidator(_check_storage_class)]
AeTitle = Annotated[str, AfterValidator(_check_ae_title)]
Port = Annotated[int, Field(ge=1, le=65535)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,32}$")]  #: of a peer, an archive, a destination
Network = Annotated[str, AfterValidator(_check_network)]
Certificate = Annotated[str, AfterValidator(_normalize_certificate)]
Token = Annotated[str, AfterValidator(_check_token)]
Hours = Annotated[str, AfterValidator(_check_hours)]
DicomwebUrl = Annotated[str, AfterValidator(_check_dicomweb_url)]
WebUrl = Annotated[str, AfterValidator(_check_web_url)]
BrokerUrl = Annotated[str, AfterValidator(_check_broker_url)]
PostgresUrl = Annotated[str, AfterValidator(_check_postgres_url)]
UserName = Annotated[str, AfterValidator(_check_user)]
HashedPassword = Annotated[str, AfterValidator(_check_hashed_password)]
