"""TLS with a PACS: the BCP 195 (RFC 8996, RFC 9325) TLS profile of PS3.15 B.12.

The certificate of the PACS is always verified: its signature, its dates and its name. No setting
turns this off. pynetdicom reports only that a handshake failed; the classes here keep the reason.
"""

import ssl
from contextlib import suppress
from typing import Any

from triage.destinations.tls_alerts import describe_tls_error
from triage.destinations.tls_files import DestinationTls, tls_context
from triage.dimse.association import TLS12_CIPHER_SUITES
from triage.domain.errors import ConfigurationError


class PacsTls(DestinationTls):
    """Settings of TLS with a PACS."""

    name: str | None = None  #: DNS name or address in the certificate of the PACS; None: host


def pacs_tls_context(settings: PacsTls, name: str) -> ssl.SSLContext:
    """Return the TLS context for associations with the destination `name`.

    Raises:
        ConfigurationError: A certificate or key file cannot be used.
    """
    try:
        context = tls_context(settings)
    except ConfigurationError as error:
        raise ConfigurationError(f"destination {name}: tls: {error}") from None
    context.set_ciphers(":".join(TLS12_CIPHER_SUITES))
    context.sslsocket_class = _DiagnosticSocket
    return context


class TlsHandshake:
    """Wraps the socket of one association and keeps the reason of a failed handshake.

    pynetdicom accepts it in place of an `ssl.SSLContext` in its argument `tls_args`.
    """

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        self._connection: ssl.SSLSocket | None = None

    def wrap_socket(self, *arguments: Any, **named: Any) -> ssl.SSLSocket:
        """Wrap a socket like `ssl.SSLContext.wrap_socket`."""
        self._connection = self._context.wrap_socket(*arguments, **named)
        return self._connection

    @property
    def failure(self) -> str:
        """The reason why TLS failed; "" if TLS has not failed."""
        return self._connection.failure if isinstance(self._connection, _DiagnosticSocket) else ""


class _DiagnosticSocket(ssl.SSLSocket):
    """A TLS connection that keeps the reason of its failure."""

    failure = ""

    def connect(self, address: Any) -> None:
        """Connect and perform the handshake."""
        try:
            super().connect(address)
        except ssl.SSLError as error:
            self.failure = describe_tls_error(error)
            raise

    def recv(self, size: int = 1024, flags: int = 0) -> bytes:
        """Receive; with TLS 1.3 a peer rejects our certificate only here."""
        try:
            return super().recv(size, flags)
        except ssl.SSLError as error:
            self.failure = describe_tls_error(error)
            raise

    def shutdown(self, how: int) -> None:
        """Shut down, and ignore errors: otherwise pynetdicom would not close the socket."""
        with suppress(OSError):
            super().shutdown(how)
