"""An audit repository over syslog: TLS (RFC 5425), or TCP to this machine, with octet counting.

Syslog has no acknowledgement. So a batch has a connection of its own: we end our side, and it is
taken when the repository has read to that end and closes. After a connection that breaks, or a
repository that is killed before, the batch is sent again: some of it may be there twice.

Rule: the repository's certificate is always verified, by its name.
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

POLL_S = 0.01


class Unconfirmed(AuditUnavailable):
    """Every byte has reached the repository's machine, but it does not close."""


class Syslog:
    """See `sender.Transport`."""

    def __init__(self, settings: AuditSyslogSettings) -> None:
        self._settings = settings
        self._context = context_of(settings)

    def send(self, messages: Sequence[bytes]) -> None:
        """Send messages over a connection of their own."""
        with self._connected() as connection:
            try:
                connection.sendall(b"".join(framed(each) for each in messages))
            except OSError as error:
                raise self._away(error) from None
            self._end(connection)

    def check(self) -> str:
        """Say how the repository is reached; raise AuditUnavailable otherwise."""
        with self._connected() as connection:
            version = connection.version() if isinstance(connection, ssl.SSLSocket) else "TCP"
            with suppress(Unconfirmed):  # it is there
                self._end(connection)
        return f"{self._settings.host}:{self._settings.port} answers over {version}"

    def _connected(self) -> socket.socket:
        settings = self._settings
        try:
            connection = socket.create_connection(
                (settings.host, settings.port), settings.timeout_s
            )
        except (OSError, UnicodeError) as error:
            raise self._away(error) from None
        if self._context is None:
            return connection
        try:
            name = settings.name or settings.host
            return self._context.wrap_socket(connection, server_hostname=name)
        except (OSError, ValueError) as error:
            connection.close()
            raise self._away(error) from None

    def _end(self, connection: socket.socket) -> None:
        """End our side, and wait until the other's has ended without a reset.

        A system resets a connection whose program closes before it has read everything, or is
        killed then (RFC 1122 4.2.2.13). Not every repository ends TLS in order before it closes.
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
            if _unacknowledged(connection):
                raise self._away(error) from None
            raise Unconfirmed(f"{self._settings.host} took messages and does not close") from None
        except OSError as error:
            raise self._away(error) from None

    def _check_acknowledged(self, connection: socket.socket) -> None:
        """Raise OSError unless every byte was taken: one may close before the last has come."""
        until = time.monotonic() + self._settings.timeout_s
        while True:
            if number := connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                raise OSError(number, os.strerror(number))
            if not _unacknowledged(connection):
                return
            if time.monotonic() > until:
                raise TimeoutError("it does not acknowledge")
            time.sleep(POLL_S)

    def _away(self, error: Exception) -> AuditUnavailable:
        where = f"{self._settings.host}:{self._settings.port}"
        why = getattr(error, "verify_message", None) or getattr(error, "strerror", None) or error
        return AuditUnavailable(f"audit repository {where}: {why}")


def context_of(settings: AuditSyslogSettings) -> ssl.SSLContext | None:
    """Return the TLS context, None without TLS; raise ConfigurationError if files do not fit."""
    if not settings.tls:
        return None
    try:
        context = ssl.create_default_context(cafile=settings.trusted)
    except OSError:  # ssl.SSLError is one
        raise ConfigurationError(
            f"audit.syslog.trusted: {settings.trusted} holds no certificates"
        ) from None
    if settings.certificate is not None:
        try:
            context.load_cert_chain(settings.certificate, settings.key, password=_none)
        except (OSError, ValueError) as error:
            raise ConfigurationError(
                f"audit.syslog.certificate and key cannot be used: {error}"
            ) from None
    return context


def framed(message: bytes) -> bytes:
    """Return a message behind its length (RFC 5425 4.3)."""
    return str(len(message)).encode("ascii") + b" " + message


def _none() -> str:
    """Give no password: without this OpenSSL would ask whoever sits at the terminal."""
    raise ValueError("the key is encrypted")


def _unacknowledged(connection: socket.socket) -> int:
    """Return how many bytes the other machine has not acknowledged (tcp(7), SIOCOUTQ)."""
    try:
        (left,) = struct.unpack("i", fcntl.ioctl(connection, termios.TIOCOUTQ, b"\0" * 4))
    except OSError:
        return 1
    return int(left)
