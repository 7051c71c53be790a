"""Use case: store an instance that a receiver got.

All receivers (C-STORE, STOW-RS, watched folder) call `Intake.accept` or `accept_file`. When these
return, the instance is durable in the spool and recorded in the ledger; only then may a receiver
answer with success. Before that, `Backpressure` refuses instances while free space is short or too
many studies wait. A refused instance is reported as an incident.

If the process ends between spool and ledger, or the ledger does not answer, the spool has instances
that the ledger does not know; `recover` records them. The spool is the truth about instances.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

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
from triage.domain.incident import (
    Incident,
    IncidentKind,
    RejectionReason,
    describe_correction,
)
from triage.domain.instance import CorrectedStudy, Identity, Receipt, ReceiptOutcome, Source
from triage.pipeline.backpressure import Backpressure, BackpressureLimits, DiscardedFile
from triage.pipeline.incidents import IncidentReporter
from triage.pipeline.memory_budget import MemoryBudget
from triage.pipeline.open_associations import OpenAssociations
from triage.pipeline.quarantine import QuarantineLimits, QuarantineQuota
from triage.ports.audit import AuditTrail
from triage.ports.incidents import IncidentLedger
from triage.ports.instances import InstanceLedger
from triage.ports.spool import Spool, StagedFile
from triage.ports.studies import StudyLedger
from triage.telemetry.metrics import Metrics

log = structlog.get_logger(__name__)

#: Source of an instance that `recover` found; the spool does not store senders.
UNKNOWN_SOURCE = Source(calling_ae="", address="")


class IntakeLedger(InstanceLedger, StudyLedger, IncidentLedger, Protocol):
    """The ports of the ledger that intake and back-pressure need."""


@dataclass(frozen=True)
class _Arrival:
    """An instance before it is stored: how to read, keep or quarantine its bytes."""

    read: Callable[[], Identity]
    keep: Callable[[Identity], Receipt]
    quarantine: Callable[[], str]


class Intake:
    """Stores instances for all receivers. Thread-safe."""

    def __init__(  # noqa: PLR0913, PLR0917 - the ports and the state that receivers share
        self,
        spool: Spool,
        ledger: IntakeLedger,
        associations: OpenAssociations | None = None,
        pressure: Backpressure | None = None,
        metrics: Metrics | None = None,
        audit: AuditTrail | None = None,
        corrected: CorrectedStudy = CorrectedStudy.REPORT,
        quarantine: QuarantineLimits | None = None,
        memory: MemoryBudget | None = None,
    ) -> None:
        #: Receivers take from it what they hold of instances that are not complete.
        self.memory = memory or MemoryBudget()
        self._spool = spool
        self._ledger = ledger
        self._incidents = IncidentReporter(ledger, audit)
        self._corrected = corrected
        #: Receivers report here that an association opens or ends.
        self.associations = associations or OpenAssociations()
        self._pressure = pressure or Backpressure(spool, ledger, BackpressureLimits())
        #: Receivers count associations and refusals here.
        self.metrics = metrics or Metrics()
        self._quota = QuarantineQuota(spool, quarantine or QuarantineLimits(), self.metrics)
        #: True if the spool may have instances that the ledger does not know; see `recover`.
        self.needs_recovery = False

    def accept(self, part10: bytes, source: Source, announced_uid: str | None = None) -> Receipt:
        """Store an instance; raise InstanceRefused, OutOfResources or LedgerUnavailable.

        `announced_uid` is the SOP Instance UID of the C-STORE command, None without a command.
        """
        try:
            self._pressure.check_room()
        except BackpressureActive as error:
            self._report_backpressure(error, source)
            raise
        arrival = _Arrival(
            lambda: _check_identity(read_identity(part10), announced_uid),
            lambda identity: self._spool.keep(identity, part10),
            lambda: self._spool.quarantine(part10),
        )
        return self._accept(arrival, source, len(part10))

    def accept_file(
        self,
        staged: StagedFile,
        source: Source,
        announced_uid: str | None = None,
        study_uid: str | None = None,
    ) -> Receipt:
        """Store an instance from a closed staging file; otherwise like `accept`.

        `study_uid` is the study of a STOW-RS URL; None if any study is allowed.
        """
        if isinstance(staged, DiscardedFile):
            self._report_backpressure(staged.error, source)
            raise staged.error
        with staged:
            arrival = _Arrival(
                lambda: _check_identity(read_file_identity(staged.path), announced_uid, study_uid),
                lambda identity: self._spool.keep_file(identity, staged),
                lambda: self._spool.quarantine_file(staged),
            )
            return self._accept(arrival, source, staged.path.stat().st_size)

    def open_staging_file(self) -> StagedFile:
        """Open a staging file for `accept_file`; a `DiscardedFile` under back-pressure."""
        try:
            self._pressure.check_room()
        except BackpressureActive as error:
            return DiscardedFile(error)
        return self._spool.open_staging_file()

    def _accept(self, arrival: _Arrival, source: Source, size: int) -> Receipt:
        with self.metrics.time_receipt():
            receipt = self._store(arrival, source, size)
        self.metrics.count_instance(receipt.outcome, size)
        return receipt

    def _store(self, arrival: _Arrival, source: Source, size: int) -> Receipt:
        try:
            identity = arrival.read()
        except (DamagedInstance, MismatchedInstance) as error:
            path = arrival.quarantine()
            self._quota.note_file(size)
            peer = replace(source, association=0)
            refused = Incident(IncidentKind.REFUSED_INSTANCE, str(error), peer)
            self._incidents.report_file(refused, path)
            raise
        try:
            self._pressure.check_study(identity.study_uid)
        except BackpressureActive as error:
            self._report_backpressure(error, source)
            raise
        receipt = arrival.keep(identity)
        try:
            self._record(receipt, source)
        except (LedgerUnavailable, StudyBeingRemoved):  # the spool may have it now
            self.needs_recovery = True
            raise
        self.associations.note_instance(source.association, identity.study_uid)
        return receipt

    def _record(self, receipt: Receipt, source: Source) -> None:
        is_revised = self._corrected is CorrectedStudy.REVISE
        if receipt.outcome is ReceiptOutcome.CONFLICT and not is_revised:
            self._report_conflict(receipt, source)
            return
        mark_reached(CrashPoint.KEPT)
        if is_revised and receipt.outcome is not ReceiptOutcome.NEW:
            self._ledger.replace_instance(receipt, source)
        else:
            self._ledger.record_instance(receipt, source)
        mark_reached(CrashPoint.RECORDED)

    def _report_conflict(self, receipt: Receipt, source: Source) -> None:
        """Report other content under a known UID: one incident for a study, with a count."""
        study_uid = receipt.identity.study_uid
        detail = (
            f"{describe_correction(study_uid)}; the first images are assessed, the later ones are "
            "kept beside them"
        )
        self._ledger.report_repeated(
            IncidentKind.CONFLICTING_INSTANCE, detail, source, path=study_uid
        )
        log.warning(IncidentKind.CONFLICTING_INSTANCE, path=receipt.path)

    def _report_backpressure(self, error: BackpressureActive, source: Source) -> None:
        self.report_refused(f"out of resources: {error}", source)

    def report_rejected(
        self,
        detail: str,
        source: Source,
        reason: RejectionReason = RejectionReason.CALLING,
        *,
        is_login: bool = False,
    ) -> None:
        """Report a peer that was rejected, or the early end of its connection.

        For `is_login` see `Incident`.
        """
        self.metrics.count_rejection(reason)
        peer = replace(source, association=0)
        self._incidents.report(Incident(reason.incident, detail, peer, is_login))

    def report_refused(self, detail: str, source: Source) -> None:
        """Report a refused instance of which nothing was stored, not even in quarantine."""
        peer = replace(source, association=0)
        self._incidents.report(Incident(IncidentKind.REFUSED_INSTANCE, detail, peer))

    def flush_incidents(self) -> None:
        """Write repeated incidents to the ledger; call it once a second."""
        self._incidents.flush()

    def update_load(self) -> None:
        """Measure the load, so that back-pressure also ends while nothing arrives."""
        self._pressure.load()

    def catch_up(self) -> None:
        """Call `recover` if there may be something to recover."""
        if self.needs_recovery:
            self.recover()

    def recover(self) -> int:
        """Record instances that the spool has and the ledger does not know; return how many.

        A crash, or a ledger that did not answer, leaves such instances.
        """
        self.needs_recovery = False  # first, so that a failure from here on asks for another round
        try:
            known = self._ledger.list_known_paths()
            known |= {self._spool.name_first_copy(path) for path in known}  # of replaced instances
            lost = sorted(set(self._spool.list_paths()) - known)
            recovered = sum(self._recover_file(path) for path in lost)
        except (LedgerUnavailable, OutOfResources, OSError):  # comparing a copy needs free space
            self.needs_recovery = True
            raise
        if recovered:
            log.warning("instances recovered from the spool", instances=recovered)
        return recovered

    def _recover_file(self, path: str) -> bool:
        """Record a spooled file and return True; report and quarantine one that is no instance.

        An unreadable file is reported and left to the next start; it does not stop the others.
        """
        try:
            receipt = self._spool.examine(path)
        except FileNotFoundError:  # removed meanwhile by retention
            return False
        except OSError as error:
            detail = f"{path}: {error.strerror}"
            unreadable = Incident(IncidentKind.UNREADABLE_SPOOL_FILE, detail, UNKNOWN_SOURCE)
            self._incidents.report(unreadable)
            return False
        except DamagedInstance as error:
            self._quarantine_spooled(path, error)
            return False
        if receipt.outcome is ReceiptOutcome.DUPLICATE:  # of itself: `examine` has just read it
            receipt = replace(receipt, outcome=ReceiptOutcome.NEW)
        self._record(receipt, UNKNOWN_SOURCE)
        if receipt.path != path:  # the file had another name than its instance
            self._spool.discard(path)
        return True

    def _quarantine_spooled(self, path: str, error: DamagedInstance) -> None:
        content = self._spool.read(path)
        quarantined = self._spool.quarantine(content)
        self._quota.note_file(len(content))
        self._spool.discard(path)
        damaged = Incident(IncidentKind.DAMAGED_SPOOL_FILE, str(error), UNKNOWN_SOURCE)
        self._incidents.report_file(damaged, quarantined)


def _check_identity(
    identity: Identity, announced_uid: str | None, study_uid: str | None = None
) -> Identity:
    """Return an identity that matches the command and URL; raise MismatchedInstance."""
    if announced_uid not in {None, identity.sop_instance_uid}:
        raise MismatchedInstance("the SOP Instance UID of the data set differs from its command's")
    if study_uid not in {None, identity.study_uid}:
        raise MismatchedInstance("the instance belongs to another study than the URL names")
    return identity
