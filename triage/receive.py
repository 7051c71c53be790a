"""`triage receive`: the receivers, and the reconciler beside them."""

import signal
import threading

import structlog
from sqlalchemy.exc import OperationalError

import receivers.c_store
from triage.bootstrap import Services
from triage.reconcile import Reconciler

log = structlog.get_logger(__name__)

TICK_S = 1.0


def receive(services: Services) -> None:
    """Receive until SIGTERM or SIGINT."""
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    services.spool.sweep()
    intake = services.intake()
    intake.recover()
    server = receivers.c_store.start(intake, services.settings.receiver)
    try:
        _reconcile(services.reconciler(), ended)
    finally:
        server.shutdown()


def _reconcile(reconciler: Reconciler, ended: threading.Event) -> None:
    while not ended.wait(TICK_S):
        try:
            reconciler.tick()
        except OperationalError as error:  # the ledger is busy or full: the next tick tries again
            log.exception("ledger unavailable", exc_info=error)
