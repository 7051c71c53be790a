"""`triage serve` and its parts: `receive`, `work` and `web`."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

import click

from receivers import stow, tls
from triage.audit import open_audit_transport
from triage.broker.embedded import EmbeddedRedis
from triage.broker.queue import ASSESS, DELIVER
from triage.cli.options import parent_option
from triage.concurrency.file_lock import hold_receiver_lock
from triage.config import Settings, child_environment, load, require_peers
from triage.domain.errors import LedgerUnavailable, SpoolFull
from triage.runtime.audit import audit_service, open_audit
from triage.runtime.clock import SystemClock
from triage.runtime.destinations import open_destinations
from triage.runtime.model import open_model
from triage.runtime.paths import CACHE, state_folder
from triage.runtime.receiver import receive as receive_until_ended
from triage.runtime.services import Services
from triage.runtime.storage import (
    await_ledger,
    open_existing_ledger,
    open_ledger,
    open_past_cases,
    open_spool,
)
from triage.runtime.supervisor import SupervisedProcess, end_with_parent, supervise
from triage.runtime.web import open_web
from triage.runtime.worker import build_app
from triage.runtime.worker import work as work_until_ended
from triage.telemetry import logs
from triage.web.server import serve as answer_until_ended


@contextmanager
def _broker(settings: Settings) -> Iterator[tuple[str, EmbeddedRedis | None]]:
    """Yield the configured Redis, or a private one that ends with the block."""
    if settings.redis_url is not None:
        yield settings.redis_url, None
        return
    with EmbeddedRedis(settings.state_dir) as private:
        yield private.url, private


def _started(config: Path | None, parent: int | None) -> Settings:
    """Return the settings of a service that starts now."""
    settings = load(config)
    require_peers(settings)
    logs.configure(settings.log)
    if parent is not None:
        end_with_parent(parent)
    await_ledger(settings)
    return settings


def check_receiver(settings: Settings) -> None:
    """Raise ConfigurationError where a certificate, of a port or for the audit, cannot be used."""
    if settings.receiver.tls is not None:
        tls.create_context(settings.receiver.tls)
    if settings.receiver.stow is not None:
        stow.create_tls_context(settings.receiver.stow)
    if settings.audit is not None:
        open_audit_transport(settings.audit)


def _check_spool(settings: Settings) -> None:
    """Raise ConfigurationError where the spool cannot be used; a share does not do all it must.

    One that is full is used again when there is room. An object store is tried by who keeps first.
    """
    spool = open_spool(settings)
    if settings.spool.folder is not None:
        with suppress(SpoolFull):
            spool.probe()


@click.command()
@click.pass_obj
def serve(config: Path | None) -> None:
    """Run everything in one process group: Redis, receiver, workers, and the page if it has users.

    Ends with Ctrl-C or SIGTERM, after the work in hand. A part that dies is started again.
    """
    settings = _started(config, None)
    # What is wrong must show here, not in a restart loop; a library that is down may come back.
    check_receiver(settings)
    open_destinations(settings)
    _check_spool(settings)
    model = open_model(settings, state_folder(settings) / CACHE)
    with suppress(LedgerUnavailable):
        open_past_cases(settings, model.bundle)
    with hold_receiver_lock(state_folder(settings)), _broker(settings) as (redis_url, private):
        environment = child_environment(config, redis_url)
        assess = ("work", "--queue", ASSESS)
        assessors = [
            SupervisedProcess(f"assess-{number}", assess, environment)
            for number in range(settings.worker.assessors)
        ]
        receiver = SupervisedProcess("receive", ("receive",), environment)
        deliverer = SupervisedProcess("deliver", ("work", "--queue", DELIVER), environment)
        parts = [receiver, *assessors, deliverer]
        if settings.web.users:
            parts.append(SupervisedProcess("web", ("web",), environment))
        if model.identity.trained:
            parts.append(SupervisedProcess("index", ("index", "--spool"), environment, once=True))
        supervise(parts, private)


@click.command()
@parent_option
@click.pass_obj
def receive(config: Path | None, parent: int | None) -> None:
    """Receive studies, over C-STORE or as the settings say, and hand complete ones to workers."""
    settings = _started(config, parent)
    supervised = nullcontext() if parent else hold_receiver_lock(state_folder(settings))
    with supervised, _broker(settings) as (redis_url, _private):
        receive_until_ended(Services(settings, redis_url))


@click.command()
@click.option(
    "--queue",
    type=click.Choice([ASSESS, DELIVER, "both"]),
    default="both",
    show_default=True,
    help="What to work on. Deliveries have workers of their own in `triage serve`, so that a long "
    "assessment holds none up.",
)
@parent_option
@click.pass_obj
def work(config: Path | None, queue: str, parent: int | None) -> None:
    """Assess studies and deliver reports, one task at a time. Start several for more."""
    settings = _started(config, parent)
    queues = [ASSESS, DELIVER] if queue == "both" else [queue]
    with _broker(settings) as (redis_url, _private):
        services = Services(settings, redis_url)
        assessor = services.assessor() if ASSESS in queues else None
        deliverer = services.deliverer() if DELIVER in queues else None
        with audit_service(settings, services.audit, f"triage work ({queue})"):
            work_until_ended(build_app(redis_url, assessor, deliverer), queues)


@click.command()
@parent_option
@click.pass_obj
def web(config: Path | None, parent: int | None) -> None:
    """Serve the page and the HTTP interface for past cases to the users of the settings.

    A part of `triage serve` where web.users names somebody. Every look is kept, and shown by
    `triage status --looks 100`.
    """
    settings = load(config)
    logs.configure(settings.log)
    if parent is not None:
        end_with_parent(parent)
    ledger = open_ledger(settings, SystemClock()) if parent else open_existing_ledger(settings)
    app = open_web(settings, ledger)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # uvicorn ends, then passes it on
    with audit_service(settings, open_audit(settings), "triage web"):
        answer_until_ended(app, settings.web)
