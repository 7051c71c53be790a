"""The transport that appends the audit trail to a file, one message a line.

The file is opened anew for each batch, so that log rotation may replace it at any time. A crash may
leave an incomplete line of this program at the end of the file. The next batch removes that line,
because its message is still in the spool. Lines of other programs are never changed.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from triage.domain.errors import AuditUnavailable

LONGEST_LINE = 1 << 16  #: bytes; no audit message is longer
MESSAGE_START = b"<8"  #: the first bytes of every audit message (its syslog priority)


class FileTransport:
    """Appends audit messages to a file; implements `AuditTransport`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def send(self, messages: Sequence[bytes]) -> None:
        """Append messages durably; raise AuditUnavailable if the file cannot be written."""
        try:
            with os.fdopen(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600), "r+b") as file:
                _go_to_new_line(file)
                file.write(b"".join(message + b"\n" for message in messages))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise AuditUnavailable(f"{self._path}: {error.strerror}") from None

    def check(self) -> str:
        """Return that the file is writable; raise AuditUnavailable otherwise. Writes nothing."""
        exists = self._path.exists()
        if not os.access(self._path if exists else self._path.parent, os.W_OK):
            raise AuditUnavailable(f"{self._path} cannot be written to")
        return f"{self._path} can be written to"


def _go_to_new_line(file: BinaryIO) -> None:
    """Go to the end of the file, and remove an incomplete audit message there."""
    end = file.seek(0, os.SEEK_END)
    file.seek(max(0, end - LONGEST_LINE))
    rest = file.read().rpartition(b"\n")[2]
    if rest.startswith(MESSAGE_START) or (rest and MESSAGE_START.startswith(rest)):
        file.truncate(file.seek(end - len(rest)))
    elif rest:
        file.write(b"\n")
