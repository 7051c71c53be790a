"""Where received instances are kept.

Rule: a secret is named by its file, so that none stands in the settings.
"""

import re
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, Field, model_validator

from triage.config.fields import LOOPBACK, Seconds
from triage.yaml_models import StrictModel

#: A bucket's name, and what may stand in a prefix without being written otherwise by anybody.
BUCKET = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])((?:/[A-Za-z0-9_.-]+)*)/?")


def _spool_url(value: str) -> str:
    if not BUCKET.fullmatch(value) and not re.fullmatch(r"file:///[^?#]+", value):
        raise ValueError(
            "a spool is named as file:///path or s3://bucket/prefix; keys go into credentials"
        )
    return value


def _endpoint(value: str) -> str:
    url = urlsplit(value)
    if url.scheme not in {"http", "https"} or not url.hostname or url.query or url.fragment:
        raise ValueError("an object store is named as https://host:9000")
    if url.username is not None or url.password is not None:
        raise ValueError("an object store is named without its keys: they go into credentials")
    return value.rstrip("/")


class SpoolSettings(StrictModel):
    """Where received instances are kept; without a URL, in the state folder."""

    url: Annotated[str, AfterValidator(_spool_url)] | None = None
    endpoint: Annotated[str, AfterValidator(_endpoint)] | None = None  #: None: that of AWS
    region: str | None = Field(default=None, pattern=r"^[a-z0-9-]{1,32}$")
    credentials: Path | None = None  #: an AWS credentials file; None: as its client finds them
    ca: Path | None = None  #: PEM: who vouches for the object store; None: the usual authorities
    without_tls: bool = False  #: send images to an http:// endpoint beyond this machine
    timeout_s: Seconds = 10.0  #: without a byte from the object store; then it is asked once more

    @model_validator(mode="after")
    def _private(self) -> Self:
        if self.bucket is None:
            if any((self.endpoint, self.region, self.credentials, self.ca)):
                raise ValueError("endpoint, region, credentials and ca go with an s3:// url alone")
            return self
        url = urlsplit(self.endpoint or "https://")
        if url.scheme == "http" and url.hostname not in LOOPBACK and not self.without_tls:
            raise ValueError(
                f"on the way to {url.hostname} images could be read: name it with https://, or, "
                "on a network of its own, set without_tls: true"
            )
        return self

    @property
    def folder(self) -> Path | None:
        """Return the folder of a file:// URL."""
        is_file = self.url is not None and self.url.startswith("file://")
        return Path(unquote(urlsplit(self.url or "").path)) if is_file else None

    @property
    def bucket(self) -> str | None:
        """Return the bucket of an s3:// URL."""
        found = BUCKET.fullmatch(self.url or "")
        return None if found is None else found[1]

    @property
    def prefix(self) -> str:
        """Return what every key of an s3:// URL begins with: nothing, or something and a slash."""
        found = BUCKET.fullmatch(self.url or "")
        return f"{found[2][1:]}/" if found is not None and found[2] else ""
