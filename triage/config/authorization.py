"""How we authenticate to a DICOMweb service.

A secret comes from the settings, the environment or a file, is never displayed, and is not sent
where it could be read on the way.
"""

from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from pydantic import SecretStr, model_validator

from triage.config.fields import LOOPBACK, DicomwebUrl
from triage.domain.errors import ConfigurationError
from triage.yaml_models import StrictModel


class HttpAuthorization(StrictModel):
    """A DICOMweb service that may require authorization."""

    url: DicomwebUrl
    authorization: SecretStr | None = None  #: value of the Authorization header, e.g. Bearer ...
    authorization_file: Path | None = None  #: a file that contains this value

    @model_validator(mode="after")
    def _require_private_transport(self) -> Self:
        if self.authorization is not None and self.authorization_file is not None:
            raise ValueError("give authorization or authorization_file, not both")
        secret = self.authorization is not None or self.authorization_file is not None
        url = urlsplit(self.url)
        if secret and url.scheme == "http" and url.hostname not in LOOPBACK:
            raise ValueError(
                f"authorization to {url.hostname} could be read on the way: use an https:// url"
            )
        return self

    def read_header(self) -> dict[str, str]:
        """Return the Authorization header; empty if there is none. Raises ConfigurationError."""
        path = self.authorization_file
        if self.authorization is not None:
            value = self.authorization.get_secret_value()
        elif path is not None:
            try:
                value = path.read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError):
                raise ConfigurationError(f"cannot read authorization_file {path}") from None
        else:
            return {}
        if not value.isascii() or not value.isprintable() or " " not in value:
            raise ConfigurationError(
                "authorization is no header value: write a scheme and a credential, as in "
                "Bearer abc123"
            )
        return {"Authorization": value}
