"""`triage serve` in wrong surroundings ends with exit code 2 and a sentence with the remedy.

A fault that may pass by itself, such as a silent database, does not end it: `triage health`
shows it. A lost secret and lost vectors are in test_case_files.py.
"""

import json
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest

from tests.contract.ledgers import received
from tests.fakes import FakeClock
from tests.integration.command_line import run_triage
from tests.integration.site_settings import configured, listening
from tests.peers import unavailable
from tests.waiting import HOST, wait_until
from triage import __version__
from triage.cli.demo_site import find_free_port
from triage.config import Settings
from triage.findings.loader import load_findings
from triage.runtime.clock import SystemClock
from triage.store.ledger import SqlLedger

FOREIGN = "192.0.2.1"  #: an address of no machine (RFC 5737)
WEEK_S = 7 * 86_400.0
Surroundings = Callable[[Path], AbstractContextManager[dict[str, Any]]]


def taken(service: str) -> Surroundings:
    """Another program has the port of a service."""

    @contextmanager
    def surround(_folder: Path) -> Iterator[dict[str, Any]]:
        with socket.create_server((HOST, 0)) as other:
            yield listening(service, other.getsockname()[1])

    return surround


def foreign(service: str) -> Surroundings:
    """A service has an address of another machine."""
    return lambda _folder: nullcontext(listening(service, find_free_port(), FOREIGN))


def disk(options: str, *, is_filled: bool = False) -> Surroundings:
    """The state folder is on a disk that is mounted with these options."""

    @contextmanager
    def surround(folder: Path) -> Iterator[dict[str, Any]]:
        state = folder / "state"
        state.mkdir(mode=0o700)
        mounted = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(state)]
        if subprocess.run(mounted, check=False, capture_output=True).returncode:
            unavailable("a disk (mounting one needs root)")
        try:
            if is_filled:
                fill(state / "filler")
            yield {}
        finally:
            wait_until(lambda: not subprocess.run(["umount", state], check=False).returncode)

    return surround


def fill(path: Path) -> None:
    """Write until the disk is full."""
    try:
        with path.open("wb", buffering=0) as file:
            while file.write(bytes(4096)):
                pass
    except OSError:
        return


def file_with(name: str, text: str, setting: dict[str, Any]) -> Surroundings:
    """A file that the settings name has a wrong content."""

    def surround(folder: Path) -> AbstractContextManager[dict[str, Any]]:
        (folder / name).write_text(text)
        return nullcontext(setting)

    return surround


def given(settings: dict[str, Any]) -> Surroundings:
    """The settings alone are wrong."""
    return lambda _folder: nullcontext(settings)


SENTENCES: dict[str, tuple[Surroundings, str]] = {
    "C-STORE port taken": (taken("receiver"), "end it, or set receiver.port"),
    "STOW port taken": (taken("stow"), "end it, or set receiver.stow.port"),
    "web port taken": (taken("web"), "end it, or set web.port"),
    "foreign address": (foreign("receiver"), "no such address: set receiver.host"),
    "foreign STOW address": (foreign("stow"), "no such address: set receiver.stow.host"),
    "no write permission": (disk("ro"), "state_dir"),
    "full disk": (disk("size=64k", is_filled=True), "state_dir"),
    "missing bundle": (given({"model": {"bundle": "nowhere"}}), "cannot read"),
    "broken findings": (
        file_with("broken.yaml", "findings: [\n", {"findings": "broken.yaml"}),
        "broken.yaml",
    ),
}


@pytest.mark.parametrize("name", SENTENCES)
def test_serve_ends_with_a_sentence(tmp_path: Path, name: str) -> None:
    surround, sentence = SENTENCES[name]
    with surround(tmp_path) as settings:
        shown = run_triage("serve", config=configured(tmp_path, **settings))
    assert shown.returncode == 2, shown.stderr
    assert "Traceback" not in shown.stderr
    last = shown.stderr.strip().splitlines()[-1]
    assert last.startswith("error: ")
    assert sentence in last


def test_the_log_of_a_start_names_what_runs(tmp_path: Path) -> None:
    surround, _ = SENTENCES["C-STORE port taken"]
    with surround(tmp_path) as settings:
        shown = run_triage("serve", config=configured(tmp_path, **settings))
    lines = [json.loads(line) for line in shown.stderr.splitlines() if line.startswith("{")]
    (line,) = [line for line in lines if line["event"] == "starting"]
    findings = load_findings(Settings().findings)
    assert line["version"] == __version__
    assert line["bundle"] == "untrained-wiring seed-0"
    assert (line["findings"], line["findings_digest"]) == (
        len(findings.findings),
        findings.digest,
    )
    assert line["destinations"] == ["out"]


def dead_database(_folder: Path) -> AbstractContextManager[dict[str, Any]]:
    """The server of the ledger does not answer."""
    url = f"postgresql+psycopg://worker:hush@{HOST}:{find_free_port()}/ledger"
    return nullcontext({"ledger": url})


def clock_behind(folder: Path) -> AbstractContextManager[dict[str, Any]]:
    """The ledger has a study of next week."""
    (folder / "state").mkdir(mode=0o700)
    ledger = SqlLedger.in_folder(folder / "state", FakeClock(SystemClock().now() + WEEK_S))
    received(ledger)
    ledger.close()
    return nullcontext({})


ILL: dict[str, tuple[Surroundings, str]] = {
    "dead database": (dead_database, "ledger: does not answer: ledger did not answer"),
    "clock before the ledger's": (clock_behind, "clock: this machine is 7 days behind"),
}


@pytest.mark.parametrize("name", ILL)
def test_health_shows_what_is_ill(tmp_path: Path, name: str) -> None:
    surround, sentence = ILL[name]
    with surround(tmp_path) as settings:
        shown = run_triage("health", config=configured(tmp_path, **settings))
    assert shown.returncode == 1, shown.stderr
    (line,) = [line for line in shown.stdout.splitlines() if sentence in line]
    assert line.startswith("ill ")
