"""What single fields of the settings may hold.

Rule: a wrong value is told in words that say what a right one looks like.
"""

import re
from ipaddress import ip_network
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from triage.domain.hours import HOURS

AE_TITLE_MAX = 16
LOOPBACK = ("127.0.0.1", "::1", "localhost")
FINGERPRINT = re.compile(r"[0-9a-f]{64}")
HASHED_TOKEN = re.compile(r"sha256\$[0-9a-f]{64}")  #: what `triage token` prints
#: What `triage password` prints; triage/web/passwords.py makes and reads it.
HASHED_PASSWORD = re.compile(r"scrypt\$\d{1,2}\$\d{1,2}\$\d{1,2}\$[0-9a-f]{32}\$[0-9a-f]{64}")
USER = re.compile(r"[a-z][a-z0-9._-]{0,31}")


def _ae_title(value: str) -> str:
    """PS3.5 6.2, VR AE: 1 to 16 printable ASCII characters, no backslash, no outer spaces."""
    if not 1 <= len(value) <= AE_TITLE_MAX or value != value.strip() or "\\" in value:
        raise ValueError("an AE title has 1 to 16 characters, no backslash, no outer spaces")
    if not (value.isascii() and value.isprintable()):
        raise ValueError("an AE title has printable ASCII characters alone")
    return value


def _broker_url(value: str) -> str:
    if not value.startswith(("redis://", "rediss://", "unix://")):
        raise ValueError("a Redis is named as redis://host:6379/0, rediss:// or unix:///path")
    return value


def _postgres_url(value: str) -> str:
    if not value.startswith("postgresql+psycopg://"):
        raise ValueError("a PostgreSQL is named as postgresql+psycopg://user:password@host/db")
    return value


def _network(value: str) -> str:
    try:
        return str(ip_network(value))
    except ValueError as error:
        raise ValueError(f"{error}; one is named as 10.1.2.3 or 10.1.2.0/24") from None


def _certificate(value: str) -> str:
    """A fingerprint is compared without its colons and in small letters; a name as it stands."""
    digits = value.replace(":", "").lower()
    return digits if FINGERPRINT.fullmatch(digits) else value


def _hours(value: str) -> str:
    if not HOURS.fullmatch(value):
        raise ValueError("hours are written as 22:00-06:00")
    return value


def _dicomweb_url(value: str) -> str:
    """A password in it would be shown, and logged on the way; so would a query."""
    url = urlsplit(value)
    if url.scheme not in {"http", "https"} or not url.hostname or url.query or url.fragment:
        raise ValueError("a DICOMweb service is named as https://host/dicom-web")
    if url.username is not None or url.password is not None:
        raise ValueError("user and password go into authorization: Basic and their base64")
    return value.rstrip("/")


def _web_url(value: str) -> str:
    """A password in it would be shown, and logged on the way; so would a query."""
    url = urlsplit(value)
    if url.scheme not in {"http", "https"} or not url.hostname or url.query or url.fragment:
        raise ValueError("an address is written as https://host/path, without ? and #")
    if url.username is not None or url.password is not None:
        raise ValueError("user and password have no place in an address")
    return value


def _token(value: str) -> str:
    if not HASHED_TOKEN.fullmatch(value):
        raise ValueError("is no hashed token: `triage token NAME` makes the line")
    return value


def _hashed(value: str) -> str:
    if not HASHED_PASSWORD.fullmatch(value):
        raise ValueError("is no hashed password: `triage password NAME` makes the line")
    return value


def _user(value: str) -> str:
    if not USER.fullmatch(value):
        raise ValueError("a user's name has a to z, 0 to 9, . _ and -, and begins with a letter")
    return value


AeTitle = Annotated[str, AfterValidator(_ae_title)]
Port = Annotated[int, Field(ge=1, le=65535)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,32}$")]  #: of a peer, an archive, a destination
Network = Annotated[str, AfterValidator(_network)]
Certificate = Annotated[str, AfterValidator(_certificate)]
Token = Annotated[str, AfterValidator(_token)]
Hours = Annotated[str, AfterValidator(_hours)]
DicomwebUrl = Annotated[str, AfterValidator(_dicomweb_url)]
WebUrl = Annotated[str, AfterValidator(_web_url)]
BrokerUrl = Annotated[str, AfterValidator(_broker_url)]
PostgresUrl = Annotated[str, AfterValidator(_postgres_url)]
UserName = Annotated[str, AfterValidator(_user)]
HashedPassword = Annotated[str, AfterValidator(_hashed)]
