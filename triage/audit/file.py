"""The audit trail as a file: one message a line.

Rule: the file is opened anew each time, so it may be rotated under us. A line of ours that a crash
cut off is taken away again, for its message still waits; what others wrote is left as it is.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from triage.domain.errors import AuditUnavailable

LOOKED_BACK = 1 << 16  #: bytes; no message is longer
OURS = b"<8"  #: how a message begins


class LineFile:
    """See `sender.Transport`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def send(self, messages: Sequence[bytes]) -> None:
        """Append messages durably."""
        try:
            with os.fdopen(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600), "r+b") as file:
                _go_to_new_line(file)
                file.write(b"".join(each + b"\n" for each in messages))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise AuditUnavailable(f"{self._path}: {error.strerror}") from None

    def check(self) -> str:
        """Say that it can be written to; raise AuditUnavailable otherwise. Changes nothing."""
        there = self._path.exists()
        if not os.access(self._path if there else self._path.parent, os.W_OK):
            raise AuditUnavailable(f"{self._path} cannot be written to")
        return f"{self._path} can be written to"


def _go_to_new_line(file: BinaryIO) -> None:
    """Go to the end of a file, without a message of ours that was cut off there."""
    end = file.seek(0, os.SEEK_END)
    file.seek(max(0, end - LOOKED_BACK))
    rest = file.read().rpartition(b"\n")[2]
    if rest.startswith(OURS) or (rest and OURS.startswith(rest)):
        file.truncate(file.seek(end - len(rest)))
    elif rest:
        file.write(b"\n")
