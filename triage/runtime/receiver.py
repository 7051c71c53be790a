"""The process of `triage receive`: the receivers, the reconciler and the removal by retention."""

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

import structlog

from receivers.receiver import ReceiverServices
from receivers.registry import run_receivers
from triage.config import notify_address
from triage.domain.errors import ConfigurationError, LedgerUnavailable, OutOfResources
from triage.domain.health import Role
from triage.domain.incident import IncidentKind
from triage.domain.instance import Source
from triage.pipeline.intake import Intake
from triage.pipeline.reconciler import Reconciler
from triage.pipeline.retention import RetentionRunner
from triage.pipeline.storage_commitment_scp import CommitmentScp
from triage.runtime.audit import audit_service
from triage.runtime.heartbeat import Pulse, beating
from triage.runtime.services import Services
from triage.telemetry.progress import PROGRESS, note_progress

log = structlog.get_logger(__name__)

TICK_S = 1.0
RECOVERY_S = 86_400.0  #: longest recovery of a spool
#: Errors of a duty that its next run may not meet again.
TRANSIENT = (LedgerUnavailable, OutOfResources, OSError)


def receive(services: Services) -> None:
    """Receive until SIGTERM or SIGINT."""
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    commitment_scp = services.build_commitment_scp()
    intake = services.build_intake()
    parts = ReceiverServices(
        services.settings,
        intake,
        commitment_scp,
        services.build_commitment_scu(),
        services.announcements,
        services.outcomes,
    )
    with (
        audit_service(services.settings, services.audit, "triage receive"),
        beating(services.database, Role.RECEIVE, notify_address()) as pulse,
        _serve_metrics(services, pulse),
        run_receivers(parts) as are_receiving,
        _run_retention(services, ended),
    ):
        pulse.begin_work(are_receiving)
        services.spool.sweep()
        intake.needs_recovery = True
        with PROGRESS.judging(services.settings.worker.stalled_s, are_receiving):
            _run_duties(intake, services.build_reconciler(), commitment_scp, ended)


@contextmanager
def _serve_metrics(services: Services, pulse: Pulse) -> Iterator[None]:
    """Serve the metrics until the block ends; without their port, receive all the same."""
    with ExitStack() as running:
        try:
            running.callback(services.serve_metrics(pulse))
        except ConfigurationError as error:
            log.error("no metrics", error=str(error))  # noqa: TRY400 - the message is enough
            _report_missing_metrics(services, str(error))
        yield


def _report_missing_metrics(services: Services, why: str) -> None:
    """Have `triage status` show that there are no metrics."""
    no_peer = Source("", "")
    try:
        services.ledger.report_repeated(IncidentKind.METRICS_NOT_SERVED, why, no_peer)
    except LedgerUnavailable as error:
        log.warning("incident not recorded", error=str(error))


@contextmanager
def _run_retention(services: Services, ended: threading.Event) -> Iterator[None]:
    """Remove data by the `retention` settings every `every_s`, in a separate thread.

    A removal that an earlier process began is finished, whatever the settings are now. If the
    server of the case library is down, a later round opens it: receiving does not wait for it.
    """
    every_s = services.settings.retention.every_s

    def remove_until_ended() -> None:
        runner: RetentionRunner | None = None
        while not ended.is_set():
            try:
                runner = runner or services.build_retention_runner()
                runner.prune(ended.is_set)
            except TRANSIENT as error:  # the next round tries again
                log.warning("not everything was removed", error=type(error).__name__)
            except Exception as error:  # a defect here must not end the receivers
                log.exception("not everything was removed", exc_info=error)
            ended.wait(every_s)

    thread = threading.Thread(target=remove_until_ended, name="prune")
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _run_duties(
    intake: Intake, reconciler: Reconciler, commitment_scp: CommitmentScp, ended: threading.Event
) -> None:
    """Every second, bring the ledger in step with the spool and the broker with the ledger.

    A duty that fails does not delay the others. Each is a step of this process; the recovery of a
    large spool lawfully takes long.
    """
    duties: Sequence[Callable[[], object]] = (
        lambda: _catch_up(intake),
        reconciler.tick,
        intake.flush_incidents,
        intake.update_load,
        commitment_scp.tick,
    )
    while not ended.is_set():
        for duty in duties:
            try:
                duty()
            except TRANSIENT as error:  # the next tick tries again
                log.exception("ledger or spool unavailable", exc_info=error)
            note_progress()
        ended.wait(TICK_S)


def _catch_up(intake: Intake) -> None:
    with PROGRESS.allowing(RECOVERY_S):
        intake.catch_up()
