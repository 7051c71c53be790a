"""Back pressure: whether there is room for more, on the disk and in the queue of studies.

Every receiver is told through `Intake` to refuse, and C-STORE answers 0xA700, which senders read as
"keep it and try later"; associations are accepted all the same. Rejected ones would leave the
sender without a status for each instance, would hide the reason in "local limit exceeded", and
would keep out a C-ECHO, a question about commitment, and the studies that have begun.

Rule: below the floor of free space nothing is let in, for the ledger and the reports of what is
here need that room, and nothing while a spool elsewhere is away; an instance whose first byte was
let in is kept if it can be. At the ceiling of waiting studies a study is refused of which nothing
is here. One that has begun is let in to its end, with its late instances and what is sent twice:
half a study would be assessed as if it were whole. Both open again at a distance from where they
close, so that they do not flap. Measuring is done by one thread, at most once a second; the others
go by what was measured last.
"""

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import structlog

from triage.domain.errors import BackpressureActive, LedgerUnavailable, SpoolUnavailable
from triage.ports.ledger import Ledger
from triage.ports.spool import Spool

log = structlog.get_logger(__name__)

REMEMBERED_S = 1.0
AGAIN_PARTS = 10  #: it opens again a tenth of the limit away from where it closed
GIGABYTE = 1e9
#: What a notice says that was begun and has no word in it.
NO_ROOM = "not receiving: the disk of state_dir is so full that no notice can be written"

#: Told in words while nothing, or nothing new, is received; None when that has ended.
Notice = Callable[[str | None], None]


@dataclass(frozen=True)
class BackpressureLimits:
    """From where on instances are refused."""

    free_bytes: int = 0  #: less than so many on the spool's file system; 0: no floor
    waiting_studies: int | None = None  #: so many that are not assessed yet; None: no ceiling


@dataclass(frozen=True)
class MeasuredLoad:
    """What was measured last, and what follows from it."""

    free_bytes: int | None = None  #: None: not measured yet
    waiting_studies: int = 0
    is_full: bool = False  #: below the floor
    is_busy: bool = False  #: at the ceiling
    spool_error: str = ""  #: the spool is elsewhere, and does not answer


class Backpressure:
    """Says no before anything breaks. Safe in any thread."""

    def __init__(
        self,
        spool: Spool,
        ledger: Ledger,
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
        notice(None)  # what a receiver that was killed has said

    def check_room(self) -> None:
        """Raise BackpressureActive while there is too little room for anything, or the spool is away."""
        load = self.load()
        if load.spool_error:
            raise BackpressureActive(load.spool_error)
        if load.is_full:
            raise BackpressureActive(f"less than {_in_units(self._limits.free_bytes)} free")

    def check_study(self, study_uid: str) -> None:
        """Raise BackpressureActive while too many studies wait to begin another one."""
        if self.load().is_busy and not self._ledger.has_study(study_uid):
            raise BackpressureActive(f"{self._limits.waiting_studies} studies wait already")

    def load(self) -> MeasuredLoad:
        """Return what was measured last, a second ago at most; measure where it is older."""
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
            self._tell(before, self._load)
            return
        except (LedgerUnavailable, OSError) as error:  # what was known holds; others will complain
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
        self._tell(before, self._load)

    def _tell(self, before: MeasuredLoad, now: MeasuredLoad) -> None:
        """Log when it begins and when it ends; keep the notice up to date while it lasts."""
        why = _in_words(now, self._limits)
        if _closed(now) != _closed(before):
            log.warning("receiving again" if why is None else why)
        elif why is None:
            return
        self._notice(why)


def _closed(load: MeasuredLoad) -> tuple[bool, bool, bool]:
    return bool(load.spool_error), load.is_full, load.is_busy


def _floor(limits: BackpressureLimits, *, was_full: bool) -> float:
    floor = limits.free_bytes
    return floor + floor / AGAIN_PARTS if was_full else floor


def _ceiling(limits: BackpressureLimits, *, was_busy: bool) -> float:
    ceiling = limits.waiting_studies
    if ceiling is None:
        return float("inf")
    return ceiling - ceiling // AGAIN_PARTS if was_busy else ceiling


def _in_words(load: MeasuredLoad, limits: BackpressureLimits) -> str | None:
    if load.spool_error:
        return f"not receiving: {load.spool_error}"
    if load.is_full:
        free, floor = _in_units(load.free_bytes or 0), _in_units(limits.free_bytes)
        return f"not receiving: {free} free of a floor of {floor}"
    if load.is_busy:
        ceiling = limits.waiting_studies
        return f"not receiving new studies: {load.waiting_studies} wait, of at most {ceiling}"
    return None


def _in_units(count: int) -> str:
    return f"{count / 1e6:.0f} MB" if count < GIGABYTE else f"{count / GIGABYTE:.1f} GB"


class DiscardedFile:
    """An `Aside` for an instance that is refused before its first byte: nothing is kept of it."""

    path = Path("/dev/null")
    digest = ""

    def __init__(self, why: BackpressureActive) -> None:
        self.error = why

    def write(self, part: bytes | memoryview) -> None:
        """Drop some bytes."""

    def close(self) -> None:
        """Do nothing."""

    def discard(self) -> None:
        """Do nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Do nothing."""


class NoticeFile:
    """A file of the state folder that says what is held back, for `triage status`."""

    def __init__(self, state_dir: Path) -> None:
        self._path = state_dir / "held-back"

    def __call__(self, why: str | None) -> None:
        """Write what is said, or take it away."""
        try:
            if why is None:
                self._path.unlink(missing_ok=True)
            else:
                self._write(why)
        except OSError as error:  # there may be no room for it
            log.warning("notice not written", why=str(error))

    def _write(self, why: str) -> None:
        """Write over what was said, in its place: that needs no room, and nobody reads nothing."""
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(why)
            file.truncate()

    def read(self) -> str | None:
        """Return what is said, None where nothing is held back."""
        try:
            return self._path.read_text(encoding="utf-8") or NO_ROOM
        except OSError:
            return None
