"""The certificate files of destinations that use TLS.

The certificate of the peer and its host name are always verified. No setting turns this off.
"""

import ssl
from pathlib import Path
from typing import Self

from pydantic import model_validator

from triage.config.fields import LOOPBACK
from triage.domain.errors import ConfigurationError
from triage.yaml_models import StrictModel


class DestinationTls(StrictModel):
    """Settings of TLS with a destination; its certificate must be valid for its host."""

    trusted: Path | None = None  #: PEM file of trusted authorities; None: those of the system
    certificate: Path | None = None  #: PEM of our certificate, with intermediates; None: none
    key: Path | None = None  #: PEM of its key, not encrypted

    @model_validator(mode="after")
    def _require_certificate_with_key(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("set both certificate and key, or neither")
        return self


class TlsChoice(StrictModel):
    """Settings of a destination that uses TLS, or says in so many words that it does not."""

    host: str
    tls: DestinationTls | None = None  #: None: no TLS
    without_tls: bool = False  #: True: allow no TLS beyond this machine

    @model_validator(mode="after")
    def _require_privacy(self) -> Self:
        if self.tls is None and self.host not in LOOPBACK and not self.without_tls:
            raise ValueError(
                f"reports would be readable on the way to {self.host}: set tls, or, in a network "
                "that you trust, without_tls: true"
            )
        return self


def tls_context(settings: DestinationTls) -> ssl.SSLContext:
    """Return a TLS context for version 1.2 or newer.

    Raises:
        ConfigurationError: A file does not hold what its setting requires.
    """
    try:
        context = ssl.create_default_context(cafile=settings.trusted)
    except OSError:  # ssl.SSLError is a subclass
        raise ConfigurationError(f"trusted: {settings.trusted} holds no certificates") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.certificate is None:
        return context
    try:
        # With an empty password an encrypted key is an error, not a prompt on the terminal.
        context.load_cert_chain(settings.certificate, settings.key, password=lambda: "")
    except OSError:
        raise ConfigurationError(
            f"certificate {settings.certificate} and key {settings.key} are not a pair of PEM "
            "files, or the key is encrypted"
        ) from None
    return context
