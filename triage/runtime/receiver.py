"""`triage receive`: the receivers, and the reconciler beside them."""

import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import structlog

import receivers.c_store
import receivers.folder
import receivers.stow
from triage.config import Settings
from triage.domain.errors import LedgerUnavailable, OutOfResources
from triage.pipeline.intake import Intake
from triage.pipeline.reconciler import Reconciler
from triage.pipeline.retention import RetentionRunner
from triage.pipeline.storage_commitment_scp import CommitmentScp
from triage.runtime.audit import audit_service
from triage.runtime.services import Services

log = structlog.get_logger(__name__)

TICK_S = 1.0


def receive(services: Services) -> None:
    """Receive until SIGTERM or SIGINT."""
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    intake = services.intake()
    committer = services.committer()
    with audit_service(services.settings, services.audit, "triage receive"):
        end_metrics = services.serve_metrics()
        server = receivers.c_store.start(
            intake,
            services.settings.receiver,
            committer,
            services.announcements,
            services.promises(),
        )
        try:
            with _run_other_receivers(intake, services.settings), _run_retention(services, ended):
                services.spool.sweep()
                intake.behind = True
                _run_duties(intake, services.reconciler(), committer, ended)
        finally:
            receivers.c_store.end(server)
            end_metrics()


@contextmanager
def _run_other_receivers(intake: Intake, settings: Settings) -> Iterator[None]:
    """Run the receivers beside C-STORE that the settings name, until the block ends."""
    receiver = settings.receiver
    with ExitStack() as running:
        if receiver.stow is not None:
            serving = receivers.stow.start(intake, receiver, receiver.stow)
            running.callback(serving.end)
        if receiver.folder is not None:
            watching = receivers.folder.start(
                intake, receiver.folder, receiver.instance_bytes, settings.state_dir
            )
            running.callback(watching.end)
        yield


@contextmanager
def _run_retention(services: Services, ended: threading.Event) -> Iterator[None]:
    """Remove what the site wants kept no longer, now and then, aside from everything else.

    What was half removed when a process ended is finished, whatever the settings say now. A case
    library whose server is away is opened at a later look: nobody waits for it to receive.
    """
    retention = services.settings.retention

    def look() -> None:
        pruner: RetentionRunner | None = None
        while not ended.is_set():
            try:
                pruner = pruner or services.pruner()
                pruner.prune(ended.is_set)
            except (
                LedgerUnavailable,
                OutOfResources,
                OSError,
            ) as error:  # the next look tries again
                log.warning("not everything was removed", error=type(error).__name__)
            except Exception as error:  # a defect: nothing else may end with it
                log.exception("not everything was removed", exc_info=error)
            ended.wait(retention.every_s)

    thread = threading.Thread(target=look, name="prune")
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _run_duties(
    intake: Intake, reconciler: Reconciler, committer: CommitmentScp, ended: threading.Event
) -> None:
    """Once a second, bring the ledger in step with the spool and the broker with the ledger.

    What one of them cannot do now holds up none of the others.
    """
    duties = (
        intake.catch_up,
        reconciler.tick,
        intake.flush_incidents,
        intake.update_load,
        committer.tick,
    )
    while not ended.is_set():
        for duty in duties:
            try:
                duty()
            except (
                LedgerUnavailable,
                OutOfResources,
                OSError,
            ) as error:  # the next tick tries again
                log.exception("ledger or spool unavailable", exc_info=error)
        ended.wait(TICK_S)
