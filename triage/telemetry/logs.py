"""Logging: JSON lines in service, readable lines on a terminal, no patient data in either.

An exception is logged by its type and place, never by its message, because parsers quote the text
that they could not parse. The full message is in the ledger, which is as private as the spool.
Header values are never logged.

Invariants: tests/unit/telemetry/test_logs.py holds that no message of an exception or a warning
reaches a log line.
"""

import logging
import sys
import threading
import traceback
import warnings
from typing import Literal

import structlog
from structlog.types import EventDict, Processor, WrappedLogger

from triage.telemetry.control_characters import replace_control_characters

#: Libraries with messages that quote the data they process; logged only on errors.
QUIET = {
    "pydicom": logging.CRITICAL,
    "pynetdicom": logging.ERROR,
    "celery": logging.WARNING,
    "kombu": logging.WARNING,
    # It repeats a task's exception with its message; the task itself logs it by type.
    "celery.app.trace": logging.CRITICAL,
    "highdicom": logging.CRITICAL,
    "httpx2": logging.WARNING,  # it logs each request with its URL, which may name a patient
    "httpcore2": logging.WARNING,
}


def configure(style: Literal["auto", "json", "pretty"]) -> None:
    """Send every log line of this process to stderr, as JSON or as readable lines.

    `auto` is readable on a terminal and JSON elsewhere.
    """
    warnings.filterwarnings("ignore", module="pydicom|highdicom|pynetdicom")
    pretty = style == "pretty" or (style == "auto" and sys.stderr.isatty())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        remove_exception_messages,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = _build_handler(shared, pretty=pretty)
    logging.basicConfig(handlers=[handler], level=logging.INFO, force=True)
    for name, level in QUIET.items():
        logging.getLogger(name).setLevel(level)
    _capture_warnings_and_fatal_errors()


def _build_handler(shared: list[Processor], *, pretty: bool) -> logging.Handler:
    # JSON escapes control characters itself.
    render: list[Processor] = (
        [show_control_characters, structlog.dev.ConsoleRenderer()]
        if pretty
        else [structlog.processors.JSONRenderer()]
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
        )
    )
    return handler


def _capture_warnings_and_fatal_errors() -> None:
    logging.captureWarnings(capture=True)
    warnings.formatwarning = _format_warning
    sys.excepthook = lambda _kind, error, _at: _log_fatal_error(error)
    threading.excepthook = lambda ended: _log_fatal_error(ended.exc_value)


def remove_exception_messages(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Replace an exception by its type and place."""
    record = event.get("_record")
    info = event.pop("exc_info", None) or (record.exc_info if record else None)
    if info is True:  # structlog's `exception` passes True
        info = sys.exc_info()
    error = info[1] if isinstance(info, tuple) else info
    if not isinstance(error, BaseException):
        return event
    if record is not None:  # a library's own text may quote the message
        event["event"] = f"{record.name} reported an error"
        record.exc_info = record.exc_text = None
    last = traceback.extract_tb(error.__traceback__)[-1:]
    where = [f"{frame.filename}:{frame.lineno}" for frame in last]
    return {**event, "error": type(error).__name__, "where": "".join(where)}


def show_control_characters(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Replace the control characters of every text, because a terminal would obey them."""
    return {
        name: replace_control_characters(value) if isinstance(value, str) else value
        for name, value in event.items()
    }


def _format_warning(
    message: Warning | str,  # noqa: ARG001 - it may quote a patient's name
    category: type[Warning],
    filename: str,
    lineno: int,
    line: str | None = None,  # noqa: ARG001
) -> str:
    """Return a warning's category and place; Celery's texts quote the errors of tasks."""
    return f"{category.__name__} at {filename}:{lineno}"


def _log_fatal_error(error: BaseException | None) -> None:
    """Log the error that ends a process or thread, without its message and SQL values."""
    structlog.get_logger(__name__).critical("ended by an error", exc_info=error)
