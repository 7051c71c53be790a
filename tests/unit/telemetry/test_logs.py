import json
import logging
import re
import sys
import threading
import warnings
from collections.abc import Iterator

import pytest
import structlog

from triage.telemetry import logs

SECRET = "DOE^JOHN"


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    hooks = warnings.formatwarning, sys.excepthook, threading.excepthook
    handlers, level = root.handlers[:], root.level
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        yield
    logging.captureWarnings(capture=False)
    root.handlers[:], root.level = handlers, level
    warnings.formatwarning, sys.excepthook, threading.excepthook = hooks
    structlog.reset_defaults()


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, str]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_a_line_is_json_with_time_level_and_logger(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("json")
    structlog.get_logger("triage.test").info("assessed", study_uid="1.2.3")
    (line,) = lines(capsys)
    assert line["event"] == "assessed"
    assert line["level"] == "info"
    assert line["logger"] == "triage.test"
    assert line["timestamp"].endswith("Z")


def test_an_exception_is_logged_by_type_and_place_without_its_message(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs.configure("json")
    try:
        float(SECRET)
    except ValueError:
        structlog.get_logger("triage.test").exception("it broke")
    (line,) = lines(capsys)
    assert line["error"] == "ValueError"
    assert "test_logs.py:" in line["where"]
    assert SECRET not in json.dumps(line)


@pytest.mark.parametrize("name", ["pynetdicom.events", "celery.worker", "kombu", "anything"])
def test_an_exception_logged_by_a_library_has_no_message(
    capsys: pytest.CaptureFixture[str], name: str
) -> None:
    logs.configure("json")
    try:
        float(SECRET)
    except ValueError as error:
        logging.getLogger(name).exception(error)  # noqa: TRY401 - as pynetdicom does it
    (line,) = lines(capsys)
    assert line["error"] == "ValueError"
    assert SECRET not in json.dumps(line)


def test_warnings_of_pydicom_are_not_logged_because_they_quote_headers(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs.configure("json")
    logging.getLogger("pydicom").warning("Invalid value for VR PN: %s", SECRET)
    assert not lines(capsys)


def test_pretty_lines_are_no_json(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("pretty")
    structlog.get_logger("triage.test").info("assessed")
    shown = capsys.readouterr().err
    assert "assessed" in shown
    assert not shown.startswith("{")


def test_a_library_s_warning_is_logged_without_its_text(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("json")
    warnings.warn(f"Exception raised outside body: {SECRET}", RuntimeWarning, stacklevel=1)
    (line,) = lines(capsys)
    assert line["event"].startswith("RuntimeWarning at ")
    assert SECRET not in json.dumps(line)


def test_an_error_that_ends_a_thread_is_logged_without_its_message(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs.configure("json")
    thread = threading.Thread(target=float, args=(SECRET,))
    thread.start()
    thread.join()
    (line,) = lines(capsys)
    assert (line["event"], line["error"]) == ("ended by an error", "ValueError")
    assert SECRET not in json.dumps(line)


def test_a_pretty_line_has_no_control_character_of_a_peer(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs.configure("pretty")
    structlog.get_logger("triage.test").info("rejected", calling="MR\x1b]0;x\x07\x9b1m")
    logging.getLogger("library").error("title %s", "MR\x1b[2J")
    written = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().err)  # colours of structlog
    assert "MR?]0;x??1m" in written
    assert "MR?[2J" in written
    assert not set(written) & set("\x07\x1b\x9b")
