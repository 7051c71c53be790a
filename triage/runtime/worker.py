"""The Celery worker: tasks that call a use case and decide nothing.

A process runs one task at a time in its main thread (pool "solo"), because ONNX Runtime and CUDA do
not survive a fork; a second process is a second `triage work`. A task that fails is returned to the
ledger, which decides on another attempt; Celery itself retries nothing.
"""

import inspect
from collections.abc import Callable, Sequence
from math import inf
from typing import Any

import structlog
from celery import Celery, Task, bootsteps
from celery.signals import setup_logging

from triage.broker.queue import ASSESS, DELIVER, celery_app
from triage.domain.errors import LedgerUnavailable
from triage.pipeline.current_findings import CurrentAssessor
from triage.pipeline.deliver import Deliverer
from triage.telemetry.progress import PROGRESS, note_progress

log = structlog.get_logger(__name__)

TICK_S = 1.0  #: between two notes of progress while the worker waits for tasks


class LedgerTask(Task):  # type: ignore[misc]
    """Base of all tasks: adds the identifiers to the log context, reports failures."""

    #: Called with the task's identifiers and the error that ended the task.
    broke: Callable[..., None]

    def __call__(self, *identifiers: Any) -> Any:
        """Run the task with its identifiers in the log context."""
        names = inspect.signature(self.run).parameters
        named = dict(zip(names, identifiers, strict=True))
        note_progress()
        with structlog.contextvars.bound_contextvars(task=self.name, **named):
            return super().__call__(*identifiers)

    def on_failure(self, exc: BaseException, *context: Any) -> None:
        """Return the work to the ledger; `context` is (task id, args, kwargs, traceback)."""
        _task_id, identifiers, *_rest = context
        log.error("task failed", task=self.name, identifiers=identifiers, exc_info=exc)
        try:
            self.broke(*identifiers, exc)
        except LedgerUnavailable as error:  # the lease expires, and another worker takes the work
            log.warning("failure not recorded", task=self.name, error=str(error))


def build_app(
    redis_url: str, assessor: CurrentAssessor | None, deliverer: Deliverer | None
) -> Celery:
    """Return the Celery application with the tasks of the given use cases."""
    app = celery_app(redis_url)
    if assessor is not None:
        app.task(name=ASSESS, base=LedgerTask, broke=assessor.handle_error)(assessor.assess)
    if deliverer is not None:
        app.task(name=DELIVER, base=LedgerTask, broke=deliverer.handle_error)(deliverer.deliver)
    return app


class IdleProgress(bootsteps.StartStopStep):  # type: ignore[misc]
    """Notes progress while the worker waits for tasks, from its event loop.

    Nothing is judged while the broker is away, because the worker then waits inside Celery.
    """

    requires = ("celery.worker.consumer.connection:Connection",)
    stalled_s = inf

    def start(self, consumer: Any) -> None:
        """Begin to judge this thread; the worker has a connection to the broker."""
        PROGRESS.begin(self.stalled_s)
        consumer.timer.call_repeatedly(TICK_S, note_progress)

    def stop(self, _consumer: Any) -> None:
        """Judge nothing any more: the connection is lost, or the worker ends."""
        PROGRESS.pause()


def work(app: Celery, queues: Sequence[str], stalled_s: float) -> None:
    """Process the queues until a signal ends the process; the current task is finished first.

    The process counts as hung if it makes no progress for `stalled_s` (`triage.runtime.parent`).
    """
    setup_logging.connect(_keep_logging_configuration)
    IdleProgress.stalled_s = stalled_s
    app.steps["consumer"].add(IdleProgress)
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
    """Connected to `setup_logging`, it keeps Celery from configuring the logs itself."""
