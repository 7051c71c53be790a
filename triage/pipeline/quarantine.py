"""The quota of the quarantine: a peer that sends damaged instances must not fill the disk.

Beyond a limit the oldest files are removed; they were refused, so their sender still has them. The
folder is listed only when the files that this process added may have reached a limit.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from triage.domain.errors import OutOfResources
from triage.domain.retention import StoredFile
from triage.ports.spool import Spool
from triage.telemetry.metrics import Metrics

log = structlog.get_logger(__name__)

KEPT_SHARE = 0.9  #: of a limit that is left after a removal, so that not every file needs one


@dataclass(frozen=True)
class QuarantineLimits:
    """The most that is kept in quarantine."""

    size: int = 1_000_000_000  #: bytes
    files: int = 10_000


class QuarantineQuota:
    """Removes the oldest files of the quarantine beyond its limits. Thread-safe."""

    def __init__(self, spool: Spool, limits: QuarantineLimits, metrics: Metrics) -> None:
        self._spool = spool
        self._limits = limits
        self._metrics = metrics
        self._lock = threading.Lock()
        self._room = QuarantineLimits(size=0, files=0)  #: until the folder is listed again

    def note_file(self, size: int) -> None:
        """Note that a file of `size` bytes was added; remove the oldest if it is too much.

        A store that does not answer delays the removal to the next file.
        """
        with self._lock:
            left = QuarantineLimits(self._room.size - size, self._room.files - 1)
            if left.size < 0 or left.files < 0:
                try:
                    left = self._remove_oldest()
                except (OutOfResources, OSError) as error:
                    log.warning("the quarantine was not listed", why=type(error).__name__)
            self._room = left

    def _remove_oldest(self) -> QuarantineLimits:
        """Remove the oldest files beyond a limit; return the room that is left."""
        kept = sorted(self._spool.list_quarantined(), key=lambda file: file.at)
        removed = _select_oldest(kept, self._limits)
        if removed:
            self._spool.remove_quarantined([file.path for file in removed])
            self._metrics.count_quarantine_removal(len(removed))
            log.warning("quarantine is full, its oldest files were removed", files=len(removed))
        size = sum(file.size for file in kept) - sum(file.size for file in removed)
        files = len(kept) - len(removed)
        return QuarantineLimits(self._limits.size - size, self._limits.files - files)


def _select_oldest(kept: Sequence[StoredFile], limits: QuarantineLimits) -> Sequence[StoredFile]:
    """Return the oldest of files, oldest first, without which the others are within the limits."""
    size, files = sum(file.size for file in kept), len(kept)
    if size <= limits.size and files <= limits.files:
        return ()
    for count, file in enumerate(kept):
        if size <= KEPT_SHARE * limits.size and files <= KEPT_SHARE * limits.files:
            return kept[:count]
        size, files = size - file.size, files - 1
    return kept
