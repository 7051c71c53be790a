"""The transport to an audit repository over syslog: TLS (RFC 5425), or TCP to this machine.

Messages are framed by octet counting. Syslog has no acknowledgement, so each batch has a connection
of its own: the sender closes its side, and the batch counts as taken when the repository has read
to the end and closes too. If the connection breaks or the repository is killed before that, the
batch is sent again, and the repository may have some messages twice. The certificate of the
repository and its name are always verified.
"""

import fcntl
import os
import socket
import ssl
import struct
import termios
import time
from collections.abc import Sequence
from contextlib import suppress

from triage.config import AuditSyslogSettings
from triage.domain.errors import AuditUnavailable, ConfigurationError

POLL_S = 0.01  #: pause between two looks at the bytes that are not acknowledged


class AuditUnconfirmed(AuditUnavailable):
    """The repository's machine has every byte, but the repository does not close."""


class SyslogTransport:
    """Sends audit messages to a syslog server; implements `AuditTransport`."""

    def __init__(self, settings: AuditSyslogSettings) -> None:
        self._settings = settings
        self._context = tls_context(settings)

    def send(self, messages: Sequence[bytes]) -> None:
        """Send messages over a new connection; raise AuditUnavailable unless they are taken."""
        with self._connect() as connection:
            try:
                connection.sendall(b"".join(frame(message) for message in messages))
            except OSError as error:
                raise self._unavailable(error) from None
            self._close(connection)

    def check(self) -> str:
        """Return how the repository is reached; raise AuditUnavailable otherwise."""
        with self._connect() as connection:
            version = connection.version() if isinstance(connection, ssl.SSLSocket) else "TCP"
            with suppress(AuditUnconfirmed):  # a connection is enough for this check
                self._close(connection)
        return f"{self._settings.host}:{self._settings.port} answers over {version}"

    def _connect(self) -> socket.socket:
        settings = self._settings
        try:
            connection = socket.create_connection(
                (settings.host, settings.port), settings.timeout_s
            )
        except (OSError, UnicodeError) as error:
            raise self._unavailable(error) from None
        if self._context is None:
            return connection
        try:
            name = settings.name or settings.host
            return self._context.wrap_socket(connection, server_hostname=name)
        except (OSError, ValueError) as error:
            connection.close()
            raise self._unavailable(error) from None

    def _close(self, connection: socket.socket) -> None:
        """Close our side, and wait until the repository closes its side without a reset.

        The operating system resets a connection when its program is killed, or closes before it has
        read everything (RFC 1122 4.2.2.13). Some repositories close without ending TLS in order.
        """
        try:
            if isinstance(connection, ssl.SSLSocket):
                with suppress(ssl.SSLEOFError):
                    connection.unwrap()
            connection.shutdown(socket.SHUT_WR)
            while socket.socket.recv(connection, 1 << 12):
                pass
            self._check_acknowledged(connection)
        except TimeoutError as error:
            if _count_unacknowledged(connection):
                raise self._unavailable(error) from None
            host = self._settings.host
            raise AuditUnconfirmed(f"{host} took messages and does not close") from None
        except OSError as error:
            raise self._unavailable(error) from None

    def _check_acknowledged(self, connection: socket.socket) -> None:
        """Raise OSError unless every byte is acknowledged: a peer may close before the last."""
        until = time.monotonic() + self._settings.timeout_s
        while True:
            if number := connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                raise OSError(number, os.strerror(number))
            if not _count_unacknowledged(connection):
                return
            if time.monotonic() > until:
                raise TimeoutError("it does not acknowledge all bytes")
            time.sleep(POLL_S)

    def _unavailable(self, error: Exception) -> AuditUnavailable:
        peer = f"{self._settings.host}:{self._settings.port}"
        why = getattr(error, "verify_message", None) or getattr(error, "strerror", None) or error
        return AuditUnavailable(f"audit repository {peer}: {why}")


def tls_context(settings: AuditSyslogSettings) -> ssl.SSLContext | None:
    """Return the TLS context; None without TLS.

    Raises:
        ConfigurationError: A certificate or key file cannot be used.
    """
    if not settings.tls:
        return None
    try:
        context = ssl.create_default_context(cafile=settings.trusted)
    except OSError:  # ssl.SSLError is a subclass
        why = f"audit.syslog.trusted: {settings.trusted} has no certificates"
        raise ConfigurationError(why) from None
    if settings.certificate is not None:
        try:
            context.load_cert_chain(settings.certificate, settings.key, password=_no_password)
        except (OSError, ValueError) as error:
            raise ConfigurationError(
                f"audit.syslog.certificate and key cannot be used: {error}"
            ) from None
    return context


def frame(message: bytes) -> bytes:
    """Return a message preceded by its length (RFC 5425 4.3)."""
    return str(len(message)).encode("ascii") + b" " + message


def _no_password() -> str:
    """Raise ValueError; without this callback OpenSSL asks for a password on the terminal."""
    raise ValueError("the key is encrypted")


def _count_unacknowledged(connection: socket.socket) -> int:
    """Return how many bytes the peer's machine has not acknowledged (tcp(7), SIOCOUTQ)."""
    try:
        (left,) = struct.unpack("i", fcntl.ioctl(connection, termios.TIOCOUTQ, b"\0" * 4))
    except OSError:
        return 1
    return int(left)
