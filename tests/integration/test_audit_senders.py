"""The audit trail of a machine that does not receive is sent by the services that it has."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from tests.waiting import HOST, wait_until
from triage.cli.demo_site import find_free_port
from triage.config import load
from triage.runtime.clock import SystemClock
from triage.runtime.storage import open_ledger
from triage.web.passwords import hash_password


@pytest.mark.parametrize("part", ["work", "web"])
def test_a_service_without_a_receiver_sends_its_audit_trail_and_ends_soon(
    tmp_path: Path, part: str
) -> None:
    trail = tmp_path / "audit.log"
    content = {
        "state_dir": "state",
        "receiver": {"calling": ["PACS"]},
        "destinations": [
            {"name": "pacs", "ae_title": "PACS", "host": HOST, "port": find_free_port()}
        ],
        "web": {"port": find_free_port(), "users": {"anna": hash_password("correct horse")}},
        "audit": {"source": "triage-1", "file": str(trail)},
    }
    config = tmp_path / "triage.yaml"
    config.write_text(yaml.safe_dump(content))
    open_ledger(load(config, {}), SystemClock()).close()
    arguments = ["work", "--queue", "deliver"] if part == "work" else ["web"]
    command = [sys.executable, "-m", "triage", "--config", str(config), *arguments]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    running = b'"working"' if part == "work" else b"Started server process"
    try:
        wait_until(lambda: trail.exists() and b"Application Start" in trail.read_bytes())
        wait_until(lambda: running in (tmp_path / "log").read_bytes())  # it handles signals now
    finally:
        process.terminate()
        before = time.monotonic()
        process.wait(30)
    assert time.monotonic() - before < 10
    assert b"Application Stop" in trail.read_bytes()
    assert f"triage {part}".encode() in trail.read_bytes()
    assert not list((tmp_path / "state" / "audit").glob("*.line"))
