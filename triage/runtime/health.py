"""Examines the health of a site for `triage health`, without changing anything."""

from collections.abc import Iterator
from contextlib import contextmanager

from triage.broker.embedded import socket_path
from triage.broker.queue import CeleryQueue
from triage.config import Settings
from triage.domain.errors import ConfigurationError, LedgerUnavailable, NotFound
from triage.domain.health import Condition, PartHealth, Role
from triage.pipeline.health import NEEDED, HealthExamination
from triage.runtime.audit import count_audit_backlog
from triage.runtime.clock import SystemClock
from triage.runtime.databases import open_existing_database
from triage.runtime.heartbeat import machine_name
from triage.runtime.preflight import check_case_files
from triage.runtime.services import build_completeness_policies
from triage.runtime.storage import build_backpressure_limits, open_notice_file, open_spool
from triage.store.database import Database
from triage.store.heartbeats import SqlHeartbeats
from triage.store.ledger import SqlLedger
from triage.store.migrations import HEAD


def examine_site(settings: Settings) -> list[PartHealth]:
    """Return the health of every part of a site."""
    try:
        with _open_examination(settings) as examination:
            parts = examination.examine()
    except LedgerUnavailable as error:
        return [PartHealth("ledger", Condition.ILL, f"does not answer: {error}")]
    return [*parts, _examine_cases(settings), *_examine_audit(settings)]


def examine_machine(settings: Settings) -> list[PartHealth]:
    """Return the health of the processes of this machine."""
    try:
        with _open_examination(settings) as examination:
            return examination.examine_machine(machine_name())
    except LedgerUnavailable as error:
        return [PartHealth("ledger", Condition.ILL, f"does not answer: {error}")]


@contextmanager
def _open_examination(settings: Settings) -> Iterator[HealthExamination]:
    database = _open_current_database(settings)
    clock, queue = SystemClock(), CeleryQueue(_find_broker(settings))
    try:
        yield HealthExamination(
            ledger=SqlLedger(database, clock),
            heartbeats=SqlHeartbeats(database),
            queue=queue,
            spool=open_spool(settings),
            limits=build_backpressure_limits(settings),
            clock=clock,
            destinations=[destination.name for destination in settings.destinations],
            complete_within_s=_find_hard_limit(settings),
            notice=open_notice_file(settings).read(),
            needed=(*NEEDED, Role.WEB) if settings.web.users else NEEDED,
        )
    finally:
        queue.close()
        database.close()


def _open_current_database(settings: Settings) -> Database:
    """Open the ledger without migrating it; raise NotFound, LedgerUnavailable."""
    database = open_existing_database(settings)
    if database is None:
        raise NotFound(f"there is no ledger yet; check --config ({settings.state_dir})")
    if database.revision() != HEAD:
        database.close()
        raise NotFound("the worker of this release has not been started on this ledger yet")
    return database


def _find_hard_limit(settings: Settings) -> float:
    """Return the longest hard limit of all senders."""
    usual, by_sender = build_completeness_policies(settings.receiver)
    return max(policy.limit_s for policy in (usual, *by_sender.values()))


def _find_broker(settings: Settings) -> str:
    """Return the URL of the configured Redis, or of the private one of the state folder."""
    return settings.redis_url or f"unix://{socket_path(settings.state_dir / 'redis')}"


def _examine_cases(settings: Settings) -> PartHealth:
    try:
        lost = check_case_files(settings)
    except ConfigurationError as error:
        return PartHealth("past cases", Condition.ILL, str(error))
    condition = Condition.DEGRADED if lost else Condition.WELL
    return PartHealth("past cases", condition, lost or "vectors and secret are in place")


def _examine_audit(settings: Settings) -> Iterator[PartHealth]:
    if settings.audit is None:
        return
    waiting, lost = count_audit_backlog(settings)
    condition = Condition.DEGRADED if lost else Condition.WELL
    facts = {"waiting": waiting, "lost": lost}
    yield PartHealth("audit", condition, f"{waiting} messages wait, {lost} events were lost", facts)
