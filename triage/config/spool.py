"""Settings of the spool, the store of received instances.

The settings name the file of a secret, never the secret itself.
"""

import re
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, Field, model_validator

from triage.config.fields import LOOPBACK, Seconds
from triage.yaml_models import StrictModel

#: A bucket's name, and a prefix of characters that every client writes in the same way.
BUCKET = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])((?:/[A-Za-z0-9_.-]+)*)/?")


def _check_spool_url(value: str) -> str:
    if not BUCKET.fullmatch(value) and not re.fullmatch(r"file:///[^?#]+", value):
        raise ValueError(
            "write a spool as file:///path or s3://bucket/prefix; keys go into credentials"
        )
    return value


def _check_endpoint(value: str) -> str:
    url = urlsplit(value)
    if url.scheme not in {"http", "https"} or not url.hostname or url.query or url.fragment:
        raise ValueError("write an object store as https://host:9000")
    if url.username is not None or url.password is not None:
        raise ValueError("an endpoint must not contain keys: they go into credentials")
    return value.rstrip("/")


class SpoolSettings(StrictModel):
    """The store of received instances; without a URL, a folder in the state folder."""

    url: Annotated[str, AfterValidator(_check_spool_url)] | None = None
    endpoint: Annotated[str, AfterValidator(_check_endpoint)] | None = None  #: None: AWS
    region: str | None = Field(default=None, pattern=r"^[a-z0-9-]{1,32}$")
    credentials: Path | None = None  #: an AWS credentials file; None: as the AWS client finds them
    ca: Path | None = None  #: PEM of the authorities that sign its certificate; None: the system's
    without_tls: bool = False  #: send images to an http:// endpoint beyond this machine
    timeout_s: Seconds = 10.0  #: without a byte from the object store, before one retry

    @model_validator(mode="after")
    def _require_private_transport(self) -> Self:
        if self.bucket is None:
            if any((self.endpoint, self.region, self.credentials, self.ca)):
                raise ValueError("endpoint, region, credentials and ca need an s3:// url")
            return self
        url = urlsplit(self.endpoint or "https://")
        if url.scheme == "http" and url.hostname not in LOOPBACK and not self.without_tls:
            raise ValueError(
                f"images could be read on the way to {url.hostname}: use an https:// endpoint, or, "
                "on a separate network, set without_tls: true"
            )
        return self

    @property
    def folder(self) -> Path | None:
        """Return the folder of a file:// URL, None for any other spool."""
        is_file = self.url is not None and self.url.startswith("file://")
        return Path(unquote(urlsplit(self.url or "").path)) if is_file else None

    @property
    def bucket(self) -> str | None:
        """Return the bucket of an s3:// URL, None for any other spool."""
        found = BUCKET.fullmatch(self.url or "")
        return None if found is None else found[1]

    @property
    def prefix(self) -> str:
        """Return the prefix of every object key, with its slash; empty if there is none."""
        found = BUCKET.fullmatch(self.url or "")
        return f"{found[2][1:]}/" if found is not None and found[2] else ""
