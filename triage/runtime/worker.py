"""The Celery worker: thin tasks, no decisions.

One process works one task at a time in its own thread (pool "solo"): ONNX Runtime and CUDA do not
survive a fork, and a second process is a second `triage work`. Work that breaks goes back to the
ledger, which decides on another try; Celery itself retries nothing.
"""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import structlog
from celery import Celery, Task
from celery.signals import setup_logging

from triage.broker.queue import ASSESS, DELIVER, celery_app
from triage.domain.errors import LedgerUnavailable
from triage.pipeline.assess import Assessor
from triage.pipeline.deliver import Deliverer

log = structlog.get_logger(__name__)


class LedgerTask(Task):  # type: ignore[misc]
    """What all tasks share: every log line names what it is about, a failure is reported."""

    #: Takes the task's identifiers and the error that ended it.
    broke: Callable[..., None]

    def __call__(self, *identifiers: Any) -> Any:
        """Run the task with its identifiers in the log context."""
        names = inspect.signature(self.run).parameters
        named = dict(zip(names, identifiers, strict=True))
        with structlog.contextvars.bound_contextvars(task=self.name, **named):
            return super().__call__(*identifiers)

    def on_failure(self, exc: BaseException, *context: Any) -> None:
        """Give the work back to the ledger; `context` is (task id, args, kwargs, traceback)."""
        _task_id, identifiers, *_rest = context
        log.error("task broke", task=self.name, identifiers=identifiers, exc_info=exc)
        try:
            self.broke(*identifiers, exc)
        except LedgerUnavailable as error:  # its lease ends by itself
            log.warning("failure not recorded", task=self.name, error=str(error))


def build_app(redis_url: str, assessor: Assessor | None, deliverer: Deliverer | None) -> Celery:
    """Return the application with the tasks of the use cases that are given."""
    app = celery_app(redis_url)
    if assessor is not None:
        app.task(name=ASSESS, base=LedgerTask, broke=assessor.handle_error)(assessor.assess)
    if deliverer is not None:
        app.task(name=DELIVER, base=LedgerTask, broke=deliverer.handle_error)(deliverer.deliver)
    return app


def work(app: Celery, queues: Sequence[str]) -> None:
    """Work through the queues until a signal ends the process, after the task in hand."""
    setup_logging.connect(_keep_logging_configuration)
    worker = app.Worker(
        pool="solo",
        queues=list(queues),
        quiet=True,
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
    )
    log.info("working", queues=list(queues))
    worker.start()


def _keep_logging_configuration(**_settings: object) -> None:
    """Celery configures logging only where nobody else wants to (signal `setup_logging`)."""
