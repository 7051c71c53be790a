"""Use case: take an instance in.

Rule: whoever calls `accept` may answer Success when it returns, and only then; the instance then
lies in the spool and stands in the ledger. An instance that is refused is named as an incident.
What comes in must pass `Backpressure` first: below a floor of free space, or above a ceiling of waiting
studies, no more is taken.
"""

from collections.abc import Callable
from dataclasses import replace

import structlog

from triage.crash_points import CrashPoint, mark_reached
from triage.dicom.fast_header import read_file_identity
from triage.dicom.header import read_identity
from triage.domain.errors import (
    BackpressureActive,
    DamagedInstance,
    LedgerUnavailable,
    MismatchedInstance,
    OutOfResources,
    StudyBeingRemoved,
)
from triage.domain.instance import Identity, Receipt, ReceiptOutcome, Source
from triage.pipeline.backpressure import Backpressure, BackpressureLimits, DiscardedFile
from triage.pipeline.incidents import REJECTED, IncidentReporter
from triage.pipeline.open_associations import OpenAssociations
from triage.ports.audit import AuditTrail
from triage.ports.ledger import Ledger
from triage.ports.spool import Spool, StagedFile
from triage.telemetry.metrics import Metrics, RejectionReason

log = structlog.get_logger(__name__)
NOBODY = Source(calling_ae="", address="")


class Intake:
    """Every receiver's only way in."""

    def __init__(  # noqa: PLR0913, PLR0917 - what it tells and asks
        self,
        spool: Spool,
        ledger: Ledger,
        associations: OpenAssociations | None = None,
        pressure: Backpressure | None = None,
        metrics: Metrics | None = None,
        audit: AuditTrail | None = None,
    ) -> None:
        self._spool = spool
        self._ledger = ledger
        self._repeated = IncidentReporter(ledger, audit)
        #: Receivers say here when an association opens and ends.
        self.associations = associations or OpenAssociations()
        self._pressure = pressure or Backpressure(spool, ledger, BackpressureLimits())
        #: Receivers count here whom they let in, and what they refuse.
        self.metrics = metrics or Metrics()
        #: True when the spool holds what the ledger was not there to record: see `recover`.
        self.needs_recovery = False

    def accept(self, part10: bytes, source: Source, announced_uid: str | None = None) -> Receipt:
        """Keep an instance and return its receipt; raise InstanceRefused or OutOfResources.

        `announced_uid` is the SOP Instance UID of the command that brought it, if there was one.
        """
        try:
            self._pressure.check_room()
        except BackpressureActive as error:
            self._held_back(error, source)
            raise
        return self._accept(
            lambda: _compared(read_identity(part10), announced_uid),
            lambda identity: self._spool.keep(identity, part10),
            lambda: self._spool.quarantine(part10),
            source,
            len(part10),
        )

    def accept_file(
        self,
        aside: StagedFile,
        source: Source,
        announced_uid: str | None = None,
        study_uid: str | None = None,
    ) -> Receipt:
        """Keep an instance that was written to `aside`, whole and closed; else as `accept`.

        `study_uid` is the study that it must be of, if it came to one study.
        """
        if isinstance(aside, DiscardedFile):
            self._held_back(aside.error, source)
            raise aside.error
        with aside:
            return self._accept(
                lambda: _compared(read_file_identity(aside.path), announced_uid, study_uid),
                lambda identity: self._spool.keep_file(identity, aside),
                lambda: self._spool.quarantine_file(aside),
                source,
                aside.path.stat().st_size,
            )

    def open_staging_file(self) -> StagedFile:
        """Open a new place to write an instance to, for `accept_file`; see `DiscardedFile`."""
        try:
            self._pressure.check_room()
        except BackpressureActive as error:
            return DiscardedFile(error)
        return self._spool.open_staging_file()

    def _accept(
        self,
        read: Callable[[], Identity],
        keep: Callable[[Identity], Receipt],
        quarantine: Callable[[], str],
        source: Source,
        size: int,
    ) -> Receipt:
        with self.metrics.time_receipt():
            receipt = self._kept(read, keep, quarantine, source)
        self.metrics.count_instance(receipt.outcome, size)
        return receipt

    def _kept(
        self,
        read: Callable[[], Identity],
        keep: Callable[[Identity], Receipt],
        quarantine: Callable[[], str],
        source: Source,
    ) -> Receipt:
        try:
            identity = read()
        except (DamagedInstance, MismatchedInstance) as error:
            self._incident("refused instance", str(error), source, quarantine())
            raise
        try:
            self._pressure.check_study(identity.study_uid)
        except BackpressureActive as error:
            self._held_back(error, source)
            raise
        receipt = keep(identity)
        try:
            self._file(receipt, source)
        except (LedgerUnavailable, StudyBeingRemoved):  # the spool may have it now
            self.behind = True
            raise
        self.associations.note_instance(source.association, identity.study_uid)
        return receipt

    def _file(self, receipt: Receipt, source: Source) -> None:
        if receipt.outcome is ReceiptOutcome.CONFLICT:
            uid = receipt.identity.sop_instance_uid
            detail = f"other content under the known UID {uid}; not assessed"
            self._incident("conflicting instance", detail, source, receipt.path)
            return
        mark_reached(CrashPoint.KEPT)
        self._ledger.record_instance(receipt, source)
        mark_reached(CrashPoint.RECORDED)

    def _held_back(self, error: BackpressureActive, source: Source) -> None:
        self.report_refused(f"out of resources: {error}", source)

    def report_rejected(
        self, why: str, source: Source, reason: RejectionReason = RejectionReason.CALLING
    ) -> None:
        """Remember that somebody was turned away before an instance came."""
        self.metrics.count_rejection(reason)
        self._repeated.report(REJECTED, why, replace(source, association=0))

    def report_refused(self, why: str, source: Source) -> None:
        """Remember that an instance was refused of which nothing was kept."""
        self._repeated.report("refused instance", why, replace(source, association=0))

    def flush_incidents(self) -> None:
        """Have the ledger know how often the same was reported again; once a second will do."""
        self._repeated.flush()

    def update_load(self) -> None:
        """Measure the load though nothing comes, so that its end is noticed; once a second."""
        self._pressure.load()

    def catch_up(self) -> None:
        """Recover, if there may be something to recover."""
        if self.behind:
            self.recover()

    def recover(self) -> int:
        """Record what the spool holds and the ledger does not know; return how many.

        A crash, or a ledger that did not answer, leaves such instances: the spool is the truth.
        """
        self.behind = False  # first: what fails from here on asks for another round
        try:
            lost = sorted(set(self._spool.list_paths()) - self._ledger.list_known_paths())
            recovered = sum(self._recovered(path) for path in lost)
        except (LedgerUnavailable, OutOfResources, OSError):  # a copy is compared, and needs room
            self.behind = True
            raise
        if recovered:
            log.warning("instances recovered from the spool", instances=recovered)
        return recovered

    def _recovered(self, path: str) -> bool:
        """Record a spooled file; one that is no instance goes to quarantine, and is reported.

        One that cannot be read is reported and left to the next start: it stops none of the others.
        """
        try:
            receipt = self._spool.examine(path)
        except FileNotFoundError:  # removed meanwhile, as retention says
            return False
        except OSError as error:
            self._repeated.report(
                "unreadable file in the spool", f"{path}: {error.strerror}", NOBODY
            )
            return False
        except DamagedInstance as error:
            kept = self._spool.quarantine(self._spool.read(path))
            self._spool.discard(path)
            self._incident("damaged file in the spool", str(error), NOBODY, kept)
            return False
        if receipt.outcome is ReceiptOutcome.DUPLICATE:  # of itself: it was looked at this moment
            receipt = replace(receipt, outcome=ReceiptOutcome.NEW)
        self._file(receipt, NOBODY)
        if receipt.path != path:  # a file under another name than its own
            self._spool.discard(path)
        return True

    def _incident(self, kind: str, detail: str, source: Source, path: str) -> None:
        # A sender may try the same again for days.
        self._ledger.report_repeated(kind, detail, source, path=path)
        log.warning(kind, detail=detail, calling_ae=source.calling_ae, path=path)


def _compared(
    identity: Identity, announced_uid: str | None, study_uid: str | None = None
) -> Identity:
    """Return an identity that is what was announced; raise MismatchedInstance."""
    if announced_uid not in {None, identity.sop_instance_uid}:
        raise MismatchedInstance("the data set has another SOP Instance UID than its command")
    if study_uid not in {None, identity.study_uid}:
        raise MismatchedInstance("the data set is of another study than it was sent to")
    return identity
