"""The adapters and use cases of one process.

Properties are opened on first use and shared; each `build_` method returns a new use case.
"""

import os
import random
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property

from receivers.c_store.commitment_scp import CommitmentReporter
from triage.broker.queue import CeleryQueue
from triage.config import ReceiverSettings, Settings, SourceCompleteness
from triage.dimse.instance_count import InstanceCountQuery
from triage.domain.completeness import CompletenessPolicy, EvidenceKind
from triage.domain.errors import LedgerUnavailable
from triage.imaging.rules import load_rules
from triage.pipeline.assess import Assessor
from triage.pipeline.audit_events import StudyTrail
from triage.pipeline.backpressure import Backpressure
from triage.pipeline.completeness import EvidenceCollector, Query
from triage.pipeline.current_findings import CurrentAssessor
from triage.pipeline.deliver import Deliverer
from triage.pipeline.intake import Intake
from triage.pipeline.leases import LeaseWatch
from triage.pipeline.memory_budget import MemoryBudget
from triage.pipeline.model_input import LoadedModel
from triage.pipeline.open_associations import OpenAssociations
from triage.pipeline.reconciler import Reconciler
from triage.pipeline.retention import RetentionRunner
from triage.pipeline.storage_commitment_scp import CommitmentScp
from triage.pipeline.storage_commitment_scu import CommitmentScu
from triage.pipeline.view_coverage import ViewCoverage
from triage.ports.audit import AuditTrail
from triage.ports.destination import Destination
from triage.ports.spool import Spool
from triage.runtime.audit import open_audit, open_study_trail
from triage.runtime.clock import LocalZone, SystemClock
from triage.runtime.destinations import media_types, open_destinations
from triage.runtime.findings import SiteFindings, read_site_findings
from triage.runtime.heartbeat import Pulse
from triage.runtime.loaded import record_loaded
from triage.runtime.model import (
    build_equipment,
    change_findings,
    open_model,
    open_past_cases_for_worker,
    open_site_bundle,
)
from triage.runtime.paths import CACHE, state_folder
from triage.runtime.prometheus import Gauges, serve_metrics
from triage.runtime.storage import (
    build_backpressure_limits,
    build_quarantine_limits,
    build_retention_runner,
    open_ledger_database,
    open_notice_file,
    open_spool,
)
from triage.store.announcements import SqlAnnouncements
from triage.store.commitment_requests import SqlCommitmentRequests
from triage.store.commitments import SqlCommitments
from triage.store.database import Database
from triage.store.findings import SqlFindings
from triage.store.ledger import SqlLedger
from triage.store.outcomes import SqlOutcomes
from triage.telemetry.metrics import Metrics

COMMITMENT_THREADS = 4  #: reports sent at once; a silent requestor blocks one thread


@dataclass(frozen=True)
class Services:
    """Opens what one process needs. `close` ends the thread pools of its use cases."""

    settings: Settings
    redis_url: str
    _pools: list[ThreadPoolExecutor] = field(default_factory=list)

    def close(self) -> None:
        """Cancel queued work of the thread pools and wait for the work that has begun.

        The ledger still has cancelled work as due, so the next start does it.
        """
        for pool in self._pools:
            pool.shutdown(cancel_futures=True)

    @cached_property
    def clock(self) -> SystemClock:
        """The system clock."""
        return SystemClock()

    @cached_property
    def spool(self) -> Spool:
        """The store of received instances."""
        return open_spool(self.settings)

    @cached_property
    def database(self) -> Database:
        """The database of the ledger and of the tables beside it."""
        return open_ledger_database(self.settings)

    @cached_property
    def ledger(self) -> SqlLedger:
        """The ledger of the site."""
        return SqlLedger(self.database, self.clock)

    @cached_property
    def associations(self) -> OpenAssociations:
        """The open associations and the studies that they send."""
        return OpenAssociations()

    @cached_property
    def metrics(self) -> Metrics:
        """The counters of this process."""
        return Metrics()

    @cached_property
    def pressure(self) -> Backpressure:
        """The decision whether further instances are accepted."""
        notice = open_notice_file(self.settings)
        return Backpressure(
            self.spool, self.ledger, build_backpressure_limits(self.settings), notice
        )

    @cached_property
    def queue(self) -> CeleryQueue:
        """The task queue on Redis."""
        return CeleryQueue(self.redis_url)

    @cached_property
    def destinations(self) -> dict[str, Destination]:
        """The configured destinations by name."""
        return open_destinations(self.settings)

    def build_intake(self) -> Intake:
        """Return the use case that all receivers call."""
        return Intake(
            self.spool,
            self.ledger,
            self.associations,
            self.pressure,
            self.metrics,
            self.audit,
            self.settings.receiver.corrected_study,
            build_quarantine_limits(self.settings),
            MemoryBudget(self.settings.receiver.memory_bytes),
        )

    @cached_property
    def audit(self) -> AuditTrail:
        """The audit trail of the site."""
        return open_audit(self.settings)

    def build_study_trail(self) -> StudyTrail | None:
        """Return the audit trail of studies; None if the site keeps none."""
        return open_study_trail(self.settings, self.ledger, self.spool)

    def serve_metrics(self, pulse: Pulse) -> Callable[[], None]:
        """Serve metrics and probes if a port is configured; return a function that ends them."""

        def readiness() -> dict[str, bool]:
            return {"receivers": bool(pulse.working_since), "ledger": self._does_ledger_answer()}

        names = [destination.name for destination in self.settings.destinations]
        gauges = Gauges(self.ledger, self.queue, self.pressure, self.clock, names)
        return serve_metrics(self.settings.metrics, self.metrics, gauges, readiness)

    def _does_ledger_answer(self) -> bool:
        try:
            return self.database.revision() is not None
        except LedgerUnavailable:
            return False

    def build_reconciler(self) -> Reconciler:
        """Return the use case that brings spool, ledger and broker into step."""
        attempts = self.settings.worker.max_attempts
        return Reconciler(
            self.ledger,
            self.queue,
            self.clock,
            self.build_evidence_collector(),
            attempts,
            LeaseWatch(self.settings.worker.lease_s),
            listening_since=self.clock.now(),
            trail=self.build_study_trail(),
        )

    def build_evidence_collector(self) -> EvidenceCollector:
        """Return the collector of evidence that arriving studies are complete."""
        receiver = self.settings.receiver
        policy, policies = build_completeness_policies(receiver)
        looks: dict[EvidenceKind, Query] = {}
        if any(
            EvidenceKind.VIEWS in known.accepted_evidence for known in (policy, *policies.values())
        ):
            layout = open_site_bundle(self.settings).manifest.layout
            rules = load_rules(self.settings.series_rules)
            views = [slot.view for slot in layout]
            looks[EvidenceKind.VIEWS] = ViewCoverage(self.spool, self.ledger, views, rules)
        if receiver.complete.ask is not None:
            looks[EvidenceKind.COUNT] = InstanceCountQuery(
                receiver.ae_title, receiver.complete.ask, self.audit
            )
        return EvidenceCollector(
            self.ledger,
            self.associations,
            policy,
            policies,
            looks,
            self._open_pool(len(EvidenceKind), "evidence"),
            self.announcements,
        )

    @cached_property
    def announcements(self) -> SqlAnnouncements:
        """The announced studies: MPPS and Instance Availability Notification."""
        return SqlAnnouncements(self.database, self.clock)

    @cached_property
    def outcomes(self) -> SqlOutcomes:
        """The outcomes that radiologists' reports state."""
        return SqlOutcomes(self.database, self.clock)

    def build_retention_runner(self) -> RetentionRunner:
        """Return the use case that removes data by the `retention` settings."""
        return build_retention_runner(self.settings, self.spool, self.database, self.clock)

    def build_commitment_scp(self) -> CommitmentScp:
        """Return the Storage Commitment SCP, which answers requests of senders."""
        receiver = self.settings.receiver
        requestors = {
            requestor.calling: CommitmentReporter(receiver.ae_title, requestor)
            for requestor in receiver.commitment
        }
        return CommitmentScp(
            requests=SqlCommitments(self.database, self.clock),
            ledger=self.ledger,
            spool=self.spool,
            requestors=requestors,
            executor=self._open_pool(COMMITMENT_THREADS, "commitment"),
            max_attempts=self.settings.worker.max_delivery_attempts,
        )

    def build_commitment_scu(self) -> CommitmentScu | None:
        """Return the Storage Commitment SCU; None if no destination is asked for commitment."""
        reporters = {
            destination.name: titles
            for destination in self.settings.destinations
            if (titles := destination.commitment_reporters())
        }
        if not reporters:
            return None
        requests = SqlCommitmentRequests(self.database, self.clock)
        return CommitmentScu(self.ledger, requests, reporters)

    def build_current_assessor(self) -> CurrentAssessor:
        """Return the use case of an assessing worker, whose findings follow the ledger."""
        ledger = SqlFindings(self.database)
        found = read_site_findings(ledger, self.settings)
        return CurrentAssessor(
            self.build_assessor(found), ledger, self.ledger, found.revision, self._follow_findings
        )

    def _follow_findings(self, model: LoadedModel) -> LoadedModel:
        """Return a model with the present findings."""
        found = read_site_findings(SqlFindings(self.database), self.settings)
        cache = state_folder(self.settings) / CACHE
        changed = change_findings(self.settings, cache, model, found)
        record_loaded(self.settings, changed)
        return changed

    def build_assessor(self, findings: SiteFindings | None = None) -> Assessor:
        """Return the use case that assesses with `findings`, those in use if None.

        It opens the model.
        """
        model = open_model(self.settings, state_folder(self.settings) / CACHE, findings)
        record_loaded(self.settings, model)
        return Assessor(
            spool=self.spool,
            ledger=self.ledger,
            queue=self.queue,
            clock=self.clock,
            model=model,
            equipment=build_equipment(self.settings),
            destinations=media_types(self.settings),
            holder=f"{socket.gethostname()}:{os.getpid()}",
            lease_s=self.settings.worker.lease_s,
            max_attempts=self.settings.worker.max_attempts,
            reports=self.settings.reports,
            similar_cases=self.settings.similar_cases,
            key_frames=self.settings.model.key_frames,
            past=open_past_cases_for_worker(self.settings, model),
            rules=load_rules(self.settings.series_rules),
            zone=LocalZone(),
        )

    def build_deliverer(self) -> Deliverer:
        """Return the use case of a delivering worker."""
        worker = self.settings.worker
        return Deliverer(
            self.ledger,
            self.destinations,
            worker.max_delivery_attempts,
            worker.lease_s,
            random.Random().random,  # noqa: S311 - it spreads retries and makes no secret
            self.build_study_trail(),
            self.build_commitment_scu(),
        )

    def _open_pool(self, threads: int, name: str) -> ThreadPoolExecutor:
        """Return a thread pool that `close` shuts down."""
        pool = ThreadPoolExecutor(threads, name)
        self._pools.append(pool)
        return pool


def build_completeness_policies(
    receiver: ReceiverSettings,
) -> tuple[CompletenessPolicy, dict[str, CompletenessPolicy]]:
    """Return the general completeness policy, and those by calling AE title that differ."""
    complete = receiver.complete
    usual = CompletenessPolicy(
        receiver.quiet_s, complete.settle_s, complete.at_most_s, frozenset(complete.evidence)
    )
    return usual, {source.calling: _override_policy(source, usual) for source in complete.sources}


def _override_policy(source: SourceCompleteness, usual: CompletenessPolicy) -> CompletenessPolicy:
    signs = usual.accepted_evidence if source.evidence is None else frozenset(source.evidence)
    quiet_s, at_most_s = source.quiet_s or usual.quiet_s, source.at_most_s or usual.limit_s
    return CompletenessPolicy(quiet_s, usual.settle_s, at_most_s, signs)
