"""The services of one process, opened on first use.

Only the modules of `triage.runtime` construct adapters.
"""

import os
import random
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

from receivers.commitment import CommitmentReporter
from triage.broker.queue import CeleryQueue
from triage.config import DicomDestination, ReceiverSettings, Settings, SourceCompleteness
from triage.dimse.instance_count import InstanceCountQuery
from triage.domain.completeness import CompletenessPolicy, EvidenceKind
from triage.imaging.rules import load_rules
from triage.model.bundle import open_bundle
from triage.pipeline.assess import Assessor
from triage.pipeline.audit_events import StudyTrail
from triage.pipeline.backpressure import Backpressure
from triage.pipeline.completeness import EvidenceCollector, Look
from triage.pipeline.deliver import Deliverer
from triage.pipeline.intake import Intake
from triage.pipeline.leases import LeaseWatch
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
from triage.runtime.clock import SystemClock
from triage.runtime.destinations import media_types, open_destinations
from triage.runtime.model import build_equipment, open_model, open_past_cases_for_worker
from triage.runtime.paths import CACHE, state_folder
from triage.runtime.prometheus import Gauges, serve_metrics
from triage.runtime.storage import (
    build_backpressure_limits,
    build_retention_runner,
    open_ledger_database,
    open_notice_file,
    open_spool,
)
from triage.store.announcements import SqlAnnouncements
from triage.store.commitment_requests import SqlCommitmentRequests
from triage.store.commitments import SqlCommitments
from triage.store.database import Database
from triage.store.ledger import SqlLedger
from triage.telemetry.metrics import Metrics

COMMITMENTS_AT_ONCE = 4  #: reports; a requestor that is silent holds up one of them


@dataclass(frozen=True)
class Services:
    """The parts of one process, opened when first used."""

    settings: Settings
    redis_url: str

    @cached_property
    def clock(self) -> SystemClock:
        """The system's time."""
        return SystemClock()

    @cached_property
    def spool(self) -> Spool:
        """Where instances are kept."""
        return open_spool(self.settings)

    @cached_property
    def database(self) -> Database:
        """The database of the ledger, and of what is kept beside it."""
        return open_ledger_database(self.settings)

    @cached_property
    def ledger(self) -> SqlLedger:
        """The ledger of the site."""
        return SqlLedger(self.database, self.clock)

    @cached_property
    def associations(self) -> OpenAssociations:
        """Which associations bring which study."""
        return OpenAssociations()

    @cached_property
    def metrics(self) -> Metrics:
        """What this process counts."""
        return Metrics()

    @cached_property
    def pressure(self) -> Backpressure:
        """Whether there is room for more."""
        notice = open_notice_file(self.settings)
        return Backpressure(
            self.spool, self.ledger, build_backpressure_limits(self.settings), notice
        )

    @cached_property
    def queue(self) -> CeleryQueue:
        """The queue on Redis."""
        return CeleryQueue(self.redis_url)

    @cached_property
    def destinations(self) -> dict[str, Destination]:
        """The configured destinations by name."""
        return open_destinations(self.settings)

    def intake(self) -> Intake:
        """What receivers need."""
        return Intake(
            self.spool, self.ledger, self.associations, self.pressure, self.metrics, self.audit
        )

    @cached_property
    def audit(self) -> AuditTrail:
        """The audit trail."""
        return open_audit(self.settings)

    def trail(self) -> StudyTrail | None:
        """What is told of studies, where a site keeps a trail."""
        return open_study_trail(self.settings, self.ledger, self.spool)

    def serve_metrics(self) -> Callable[[], None]:
        """Answer Prometheus, where a site wants it; return what ends it."""
        names = [each.name for each in self.settings.destinations]
        gauges = Gauges(self.ledger, self.queue, self.pressure, self.clock, names)
        return serve_metrics(self.settings.metrics, self.metrics, gauges)

    def reconciler(self) -> Reconciler:
        """What keeps everything moving."""
        attempts = self.settings.worker.max_attempts
        return Reconciler(
            self.ledger,
            self.queue,
            self.clock,
            self.gathering(),
            attempts,
            LeaseWatch(self.settings.worker.lease_s),
            listening_since=self.clock.now(),
            trail=self.trail(),
        )

    def gathering(self) -> EvidenceCollector:
        """What is known of arriving studies."""
        receiver = self.settings.receiver
        patience, of_source = build_completeness_policies(receiver)
        looks: dict[EvidenceKind, Look] = {}
        if any(
            EvidenceKind.VIEWS in each.accepted_evidence for each in (patience, *of_source.values())
        ):
            layout = open_bundle(self.settings.model.bundle).manifest.layout
            rules = load_rules(self.settings.series_rules)
            views = [slot.view for slot in layout]
            looks[EvidenceKind.VIEWS] = ViewCoverage(self.spool, self.ledger, views, rules)
        if receiver.complete.ask is not None:
            looks[EvidenceKind.COUNT] = InstanceCountQuery(
                receiver.ae_title, receiver.complete.ask, self.audit
            )
        aside = ThreadPoolExecutor(len(EvidenceKind), "evidence")
        return EvidenceCollector(
            self.ledger,
            self.associations,
            patience,
            of_source,
            looks,
            aside,
            self.announcements,
        )

    @cached_property
    def announcements(self) -> SqlAnnouncements:
        """What is announced of studies."""
        return SqlAnnouncements(self.database, self.clock)

    def pruner(self) -> RetentionRunner:
        """What removes that which the site wants kept no longer."""
        return build_retention_runner(self.settings, self.spool, self.database, self.clock)

    def committer(self) -> CommitmentScp:
        """What answers who asks for storage commitment."""
        receiver = self.settings.receiver
        requestors = {
            each.calling: CommitmentReporter(receiver.ae_title, each)
            for each in receiver.commitment
        }
        return CommitmentScp(
            requests=SqlCommitments(self.database, self.clock),
            ledger=self.ledger,
            spool=self.spool,
            requestors=requestors,
            executor=ThreadPoolExecutor(COMMITMENTS_AT_ONCE, "commitment"),
            max_attempts=self.settings.worker.max_delivery_attempts,
        )

    def promises(self) -> CommitmentScu | None:
        """What takes archives' words on what was sent to them; None where none is asked for."""
        settings = self.settings
        archives = [each for each in settings.destinations if isinstance(each, DicomDestination)]
        reporters = {each.name: each.reporters() for each in archives if each.commitment}
        if not reporters:
            return None
        requests = SqlCommitmentRequests(self.database, self.clock)
        return CommitmentScu(self.ledger, requests, reporters)

    def assessor(self) -> Assessor:
        """What an assessing worker needs; opens the model."""
        model = open_model(self.settings, state_folder(self.settings) / CACHE)
        return Assessor(
            spool=self.spool,
            ledger=self.ledger,
            queue=self.queue,
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
        )

    def deliverer(self) -> Deliverer:
        """What a delivering worker needs."""
        worker = self.settings.worker
        return Deliverer(
            self.ledger,
            self.destinations,
            worker.max_delivery_attempts,
            worker.lease_s,
            random.Random().random,  # noqa: S311 - no secret comes from it
            self.trail(),
            self.promises(),
        )


def build_completeness_policies(
    receiver: ReceiverSettings,
) -> tuple[CompletenessPolicy, dict[str, CompletenessPolicy]]:
    """Return how long to wait for studies, and by calling AE title where it is otherwise."""
    complete = receiver.complete
    usual = CompletenessPolicy(
        receiver.quiet_s, complete.settle_s, complete.at_most_s, frozenset(complete.evidence)
    )
    return usual, {each.calling: _override_policy(each, usual) for each in complete.sources}


def _override_policy(source: SourceCompleteness, usual: CompletenessPolicy) -> CompletenessPolicy:
    signs = usual.accepted_evidence if source.evidence is None else frozenset(source.evidence)
    quiet_s, at_most_s = source.quiet_s or usual.quiet_s, source.at_most_s or usual.limit_s
    return CompletenessPolicy(quiet_s, usual.settle_s, at_most_s, signs)
