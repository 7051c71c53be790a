"""TLS with a PACS: PS3.15 B.12, BCP 195 (RFC 8996, RFC 9325) TLS Secure Transport Connection.

Rule: who signed, the dates and the name of its certificate are always checked; there is no way
around. pynetdicom tells that a handshake failed, and not why: here that is kept.
"""

import ssl
from contextlib import suppress
from typing import Any

from triage.config import DicomDestination, PacsTls
from triage.destinations import tls
from triage.dimse.association import TLS12_CIPHER_SUITES
from triage.domain.errors import ConfigurationError


def context(settings: PacsTls, name: str) -> ssl.SSLContext:
    """Return the context of associations; raise ConfigurationError where its files do not fit."""
    try:
        made = tls.context(settings.trusted, settings.certificate, settings.key)
    except ConfigurationError as error:
        raise ConfigurationError(f"destination {name}: tls: {error}") from None
    made.set_ciphers(":".join(TLS12_CIPHER_SUITES))
    made.sslsocket_class = _DiagnosticSocket
    return made


class TlsHandshake:
    """What pynetdicom wraps the socket of one association with."""

    def __init__(self, made: ssl.SSLContext) -> None:
        self._context = made
        self._connection: ssl.SSLSocket | None = None

    def arguments(self, settings: DicomDestination) -> Any:
        """Return what `associate` wants as `tls_args`."""
        named = settings.tls.name if settings.tls else None
        return self, named or settings.host

    def wrap_socket(self, *arguments: Any, **named: Any) -> ssl.SSLSocket:
        """As `ssl.SSLContext` does."""
        self._connection = self._context.wrap_socket(*arguments, **named)
        return self._connection

    @property
    def why(self) -> str:
        """Why the connection could not be secured; "" where nothing of that kind was seen."""
        return self._connection.why if isinstance(self._connection, _DiagnosticSocket) else ""


class _DiagnosticSocket(ssl.SSLSocket):
    """A connection that keeps what went wrong with its TLS."""

    why = ""

    def connect(self, address: Any) -> None:
        """Connect and shake hands."""
        try:
            super().connect(address)
        except ssl.SSLError as error:
            self.why = _in_words(error)
            raise

    def recv(self, size: int = 1024, flags: int = 0) -> bytes:
        """Receive; with TLS 1.3 this is where it says that our certificate will not do."""
        try:
            return super().recv(size, flags)
        except ssl.SSLError as error:
            self.why = _in_words(error)
            raise

    def shutdown(self, how: int) -> None:
        """Shut down; where that fails, pynetdicom would not close it."""
        with suppress(OSError):
            super().shutdown(how)


def _in_words(error: ssl.SSLError) -> str:
    """Return what was wrong with its certificate; else what it, or the library, has said."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate does not do: {error.verify_message}"
    said = (error.reason or "the handshake failed").replace("_", " ").lower()
    if " alert " in said:
        return f"it ended the handshake: {said.partition(' alert ')[2]}"
    return said
