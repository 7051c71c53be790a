"""Back-pressure: refuse instances while free space is short or too many studies wait.

Receivers call `Intake`, which asks here; C-STORE then answers 0xA700 (out of resources), which
senders read as "keep it and try later". Associations are still accepted. Rejecting them would leave
the sender without a status for each instance, hide the reason behind "local limit exceeded", and
block C-ECHO, storage commitment and studies that have begun.

Below the floor of free space, or while the object store of the spool does not answer, every
instance is refused, because the ledger and the reports of stored studies need the space; an
instance whose first byte was accepted is stored if possible. At the ceiling of waiting studies,
only new studies are refused. A study that has begun is accepted to its end, with late and repeated
instances, because half a study would be assessed as if it were whole. Both limits end at a distance
from where they begin, so that they do not flap. One thread measures, at most once a second; the
others use the last measurement.
"""

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, Self

import structlog

from triage.domain.errors import BackpressureActive, LedgerUnavailable, SpoolUnavailable
from triage.ports.instances import InstanceLedger
from triage.ports.spool import Spool
from triage.ports.studies import StudyLedger

log = structlog.get_logger(__name__)

REMEMBERED_S = 1.0  #: how long a measurement is used
HYSTERESIS_PARTS = 10  #: a limit ends a tenth of its value away from where it begins
GIGABYTE = 1e9
#: Text of a notice file that could be created but not written.
NO_ROOM = "not receiving: the disk of state_dir is so full that no notice can be written"

#: Called with the notice while instances are refused; None when that has ended.
Notice = Callable[[str | None], None]


@dataclass(frozen=True)
class BackpressureLimits:
    """The limits at which instances are refused."""

    free_bytes: int = 0  #: least free space of the spool's file system; 0: no floor
    waiting_studies: int | None = None  #: most studies not assessed yet; None: no ceiling


@dataclass(frozen=True)
class MeasuredLoad:
    """The last measurement, and what follows from it."""

    free_bytes: int | None = None  #: None: not measured yet
    waiting_studies: int = 0
    is_full: bool = False  #: below the floor
    is_busy: bool = False  #: at the ceiling
    spool_error: str = ""  #: why the object store does not answer; empty if it does


class BackpressureLedger(InstanceLedger, StudyLedger, Protocol):
    """The ports of the ledger that back-pressure needs."""


class Backpressure:
    """Refuses instances at a limit. Thread-safe."""

    def __init__(
        self,
        spool: Spool,
        ledger: BackpressureLedger,
        limits: BackpressureLimits,
        notice: Notice = lambda _: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._spool = spool
        self._ledger = ledger
        self._limits = limits
        self._notice = notice
        self._monotonic = monotonic
        self._measuring = threading.Lock()
        self._measured_at = -REMEMBERED_S
        self._load = MeasuredLoad()
        notice(None)  # removes the notice of a receiver that was killed

    def check_room(self) -> None:
        """Raise BackpressureActive while no instance can be stored."""
        load = self.load()
        if load.spool_error:
            raise BackpressureActive(load.spool_error)
        if load.is_full:
            raise BackpressureActive(f"less than {format_bytes(self._limits.free_bytes)} free")

    def check_study(self, study_uid: str) -> None:
        """Raise BackpressureActive for a new study while too many studies wait."""
        if self.load().is_busy and not self._ledger.has_study(study_uid):
            raise BackpressureActive(f"{self._limits.waiting_studies} studies wait already")

    def load(self) -> MeasuredLoad:
        """Return the last measurement; measure again if it is older than a second."""
        if self._monotonic() - self._measured_at < REMEMBERED_S:
            return self._load
        if self._measuring.acquire(blocking=False):
            try:
                self._measure()
            finally:
                self._measuring.release()
        return self._load

    def _measure(self) -> None:
        before = self._load
        try:
            free, waiting = self._spool.measure_free_bytes(), self._ledger.count_waiting_studies()
        except SpoolUnavailable as error:
            self._load = replace(before, spool_error=str(error))
            self._measured_at = self._monotonic()
            self._notify(before, self._load)
            return
        except (
            LedgerUnavailable,
            OSError,
        ) as error:  # keep the last measurement; storing will fail and log
            log.warning("load not measured", why=str(error))
            self._measured_at = self._monotonic()
            return
        self._load = MeasuredLoad(
            free,
            waiting,
            is_full=free < _floor(self._limits, was_full=before.is_full),
            is_busy=waiting >= _ceiling(self._limits, was_busy=before.is_busy),
        )
        self._measured_at = self._monotonic()
        self._notify(before, self._load)

    def _notify(self, before: MeasuredLoad, now: MeasuredLoad) -> None:
        """Log the begin and end of back-pressure, and keep the notice up to date meanwhile."""
        why = _describe(now, self._limits)
        if _active_limits(now) != _active_limits(before):
            log.warning("receiving again" if why is None else why)
        elif why is None:
            return
        self._notice(why)


def _active_limits(load: MeasuredLoad) -> tuple[bool, bool, bool]:
    return bool(load.spool_error), load.is_full, load.is_busy


def _floor(limits: BackpressureLimits, *, was_full: bool) -> float:
    floor = limits.free_bytes
    return floor + floor / HYSTERESIS_PARTS if was_full else floor


def _ceiling(limits: BackpressureLimits, *, was_busy: bool) -> float:
    ceiling = limits.waiting_studies
    if ceiling is None:
        return float("inf")
    return ceiling - ceiling // HYSTERESIS_PARTS if was_busy else ceiling


def _describe(load: MeasuredLoad, limits: BackpressureLimits) -> str | None:
    if load.spool_error:
        return f"not receiving: {load.spool_error}"
    if load.is_full:
        free, floor = format_bytes(load.free_bytes or 0), format_bytes(limits.free_bytes)
        return f"not receiving: {free} free of a floor of {floor}"
    if load.is_busy:
        ceiling = limits.waiting_studies
        return f"not receiving new studies: {load.waiting_studies} wait, of at most {ceiling}"
    return None


def format_bytes(count: int) -> str:
    """Return a size for a person, e.g. "1.5 GB"."""
    return f"{count / 1e6:.0f} MB" if count < GIGABYTE else f"{count / GIGABYTE:.1f} GB"


class DiscardedFile:
    """A staging file for an instance that is refused before its first byte; stores nothing."""

    path = Path("/dev/null")
    digest = ""

    def __init__(self, why: BackpressureActive) -> None:
        self.error = why

    def write(self, part: bytes | memoryview) -> None:
        """Ignore the bytes."""

    def close(self) -> None:
        """Do nothing."""

    def discard(self) -> None:
        """Do nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Do nothing."""


class NoticeFile:
    """A file of the state folder with the current back-pressure notice, for `triage status`."""

    def __init__(self, state_dir: Path) -> None:
        self._path = state_dir / "held-back"

    def __call__(self, why: str | None) -> None:
        """Write the notice, or remove the file if there is none."""
        try:
            if why is None:
                self._path.unlink(missing_ok=True)
            else:
                self._write(why)
        except OSError as error:  # the disk may be full
            log.warning("notice not written", why=str(error))

    def _write(self, why: str) -> None:
        """Overwrite the file in place: that needs no space, and a reader never finds it empty."""
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(why)
            file.truncate()

    def read(self) -> str | None:
        """Return the notice; None without back-pressure."""
        try:
            return self._path.read_text(encoding="utf-8") or NO_ROOM
        except OSError:
            return None
