"""`triage serve` and its processes: `receive`, `work` and `web`."""

import os
import signal
import sys
from contextlib import closing, nullcontext
from pathlib import Path

import click
import structlog

from triage.broker.queue import ASSESS, DELIVER
from triage.cli.options import parent_option
from triage.concurrency.file_lock import hold_receiver_lock
from triage.config import (
    Settings,
    check_private_files,
    is_watchdog_for,
    notify_address,
    require_peers,
)
from triage.config.listening import list_receiving, list_web
from triage.domain.health import Role
from triage.pipeline.model_input import LoadedModel
from triage.runtime.audit import audit_service, open_audit
from triage.runtime.broker import open_broker
from triage.runtime.clock import SystemClock
from triage.runtime.descriptors import require_descriptors
from triage.runtime.destinations import open_destinations
from triage.runtime.hangs import HangReporter
from triage.runtime.heartbeat import beating
from triage.runtime.listening import mark_listening, require_free
from triage.runtime.loaded import describe_loaded
from triage.runtime.model import open_model
from triage.runtime.parent import Parent, give_signs
from triage.runtime.paths import CACHE, state_folder
from triage.runtime.preflight import (
    check_certificates,
    check_past_cases,
    check_reports,
    check_spool,
)
from triage.runtime.receiver import receive as receive_until_ended
from triage.runtime.service_manager import ServiceManager
from triage.runtime.services import Services
from triage.runtime.settings import load_settings
from triage.runtime.storage import (
    await_ledger,
    open_existing_ledger,
    open_ledger,
    open_ledger_database,
)
from triage.runtime.supervisor import Supervisor, list_processes, supervise
from triage.runtime.web import open_web
from triage.runtime.worker import build_app
from triage.runtime.worker import work as work_until_ended
from triage.telemetry import logs
from triage.telemetry.progress import PROGRESS
from triage.web.server import serve as serve_pages_until_ended

log = structlog.get_logger(__name__)

#: The work of a process by its option --queue.
ROLES = {ASSESS: Role.ASSESS, DELIVER: Role.DELIVER, "both": Role.BOTH}


def _start(config: Path | None) -> Settings:
    """Return the settings of a service, with logs configured and a ledger that answers."""
    settings = load_settings(config)
    require_peers(settings)
    check_reports(settings)
    require_descriptors(settings)
    logs.configure(settings.log)
    _check_private_files(settings)
    await_ledger(settings)
    return settings


def _check_private_files(settings: Settings) -> None:
    """Log a warning for each key or password that others can read; raise if we can correct it."""
    for warning in check_private_files(settings):
        log.warning("a private file is open to others", why=warning)


def _notify_alone(parent: Parent | None) -> str | None:
    """Return the address of systemd for a process that is a service of its own.

    Under `triage serve` the receiver reports, because the service is ready when it listens.
    """
    return notify_address() if parent is None else None


@click.command(short_help="Run the whole worker.")
@click.pass_obj
def serve(config: Path | None) -> None:
    """Run the whole worker: Redis, receiver, workers, and the web page if it has users.

    Start with this command. Stop it with Ctrl-C or SIGTERM: every process has 30 seconds to finish
    its current work, and the next start continues the rest. A process that fails is restarted.
    Several machines can share the work: then run `receive`, `work` and `web` on them separately.

    \b
    Examples:
      triage --config triage.yaml check      first find mistakes in the settings
      triage --config triage.yaml serve
    """
    settings = _start(config)
    # A mistake must show here and not in a restart loop; a server that is down may come back.
    check_certificates(settings)
    open_destinations(settings)
    check_spool(settings)
    model = open_model(settings, state_folder(settings) / CACHE)
    check_past_cases(settings, model.bundle)
    _log_start(settings, model)
    with hold_receiver_lock(state_folder(settings)), open_broker(settings) as (url, private):
        require_free(settings, [*list_receiving(settings), *list_web(settings)])
        processes = list_processes(settings, config, url, is_trained=model.identity.trained)
        manager = ServiceManager(notify_address(), is_watched=is_watchdog_for(os.getpid()))
        supervise(Supervisor(processes, private, HangReporter(settings).report, manager))


def _log_start(settings: Settings, model: LoadedModel) -> None:
    """Log what this worker runs, so that every later line has a release and a model."""
    loaded = describe_loaded(model)
    log.info(
        "starting",
        version=loaded.version,
        bundle=loaded.bundle,
        bundle_digest=loaded.bundle_digest,
        findings=len(loaded.findings),
        findings_digest=loaded.findings_digest,
        destinations=[destination.name for destination in settings.destinations],
    )


@click.command(short_help="Run only the receivers.")
@parent_option
@click.pass_obj
def receive(config: Path | None, parent: Parent | None) -> None:
    """Run only the receivers: they store instances and queue complete studies for workers.

    Studies arrive over C-STORE, and over STOW-RS or from a watched folder if the settings say so.
    `triage serve` runs this command; use it alone where workers run on other machines.

    \b
    Example:
      triage --config triage.yaml receive
    """
    give_signs(parent)
    settings = _start(config)
    lock = nullcontext() if parent else hold_receiver_lock(state_folder(settings))
    with (
        lock,
        mark_listening(settings, list_receiving(settings)),
        open_broker(settings) as (redis_url, _private),
        closing(Services(settings, redis_url)) as services,
    ):
        receive_until_ended(services)


@click.command(short_help="Run one worker that assesses and delivers.")
@click.option(
    "--queue",
    type=click.Choice([ASSESS, DELIVER, "both"]),
    default="both",
    show_default=True,
    help="Which tasks to process. `triage serve` runs separate workers for deliveries, so that a "
    "long assessment delays no report.",
)
@parent_option
@click.pass_obj
def work(config: Path | None, queue: str, parent: Parent | None) -> None:
    """Run one worker: it assesses studies and delivers reports, one task at a time.

    `triage serve` runs this command; start it several times, or on further machines, to process
    more studies at once.

    \b
    Examples:
      triage --config triage.yaml work
      triage --config triage.yaml work --queue assess
    """
    give_signs(parent)
    settings = _start(config)
    queues = [ASSESS, DELIVER] if queue == "both" else [queue]
    with (
        open_broker(settings) as (redis_url, _private),
        closing(Services(settings, redis_url)) as services,
    ):
        assessor = services.build_current_assessor() if ASSESS in queues else None
        deliverer = services.build_deliverer() if DELIVER in queues else None
        with (
            audit_service(settings, services.audit, f"triage work ({queue})"),
            beating(services.database, ROLES[queue], _notify_alone(parent)) as pulse,
        ):
            pulse.begin_work()
            stalled_s = settings.worker.stalled_s
            work_until_ended(build_app(redis_url, assessor, deliverer), queues, stalled_s)


@click.command(short_help="Run the web page of past cases.")
@parent_option
@click.pass_obj
def web(config: Path | None, parent: Parent | None) -> None:
    """Run the web page and the HTTP interface of past cases for the users in the settings.

    `triage serve` runs this command if `web.users` is not empty. Every access to a past case is
    logged; `triage status --looks 100` shows the log.

    \b
    Examples:
      triage password anna                 print a line for web.users in the settings
      triage --config triage.yaml web      then open port 8443 in a browser
    """
    give_signs(parent)
    settings = load_settings(config)
    require_descriptors(settings)
    logs.configure(settings.log)
    _check_private_files(settings)
    ledger = open_ledger(settings, SystemClock()) if parent else open_existing_ledger(settings)
    app = open_web(settings, ledger)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # uvicorn ends, then raises SIGTERM again
    with (
        mark_listening(settings, list_web(settings)),
        audit_service(settings, open_audit(settings), "triage web"),
        closing(open_ledger_database(settings)) as database,
        beating(database, Role.WEB, _notify_alone(parent)) as pulse,
    ):
        pulse.begin_work()
        with PROGRESS.judging(settings.worker.stalled_s):
            serve_pages_until_ended(app, settings.web)
