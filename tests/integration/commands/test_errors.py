"""Help of the commands, and the errors that they end with."""

import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.command_line import run_triage
from tests.integration.commands.site import (
    configured,
)
from tests.integration.servers import orthanc
from tests.waiting import HOST
from triage.__main__ import COMMANDS
from triage.cli.demo_site import find_free_port
from triage.concurrency.file_lock import hold_receiver_lock
from triage.store.ledger import SqlLedger
from triage.web.passwords import hash_password

USERS = {"anna": hash_password("correct horse battery")}


def test_the_help_lists_every_command_and_first_steps() -> None:
    command = [sys.executable, "-m", "triage", "--help"]  # and that Python starts it
    shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert all(f"\n  {command} " in shown for command in COMMANDS)
    assert "First steps" in shown
    assert "Research use only" in shown


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command: str) -> None:
    shown = run_triage(command, "--help")
    assert shown.returncode == 0
    assert len(shown.stdout) > 150
    assert f"triage {command}" in shown.stdout or f"triage.yaml {command}" in shown.stdout


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"reciever": {}}, "reciever: is no known field"),
        ({"findings": "nowhere.yaml"}, "cannot read"),
        ({"model": {"bundle": "nowhere"}}, "cannot read"),
        ({"model": {"provider": "cuda"}}, "model.provider asks for CUDAExecutionProvider"),
        ({"destinations": []}, "destinations is empty"),
        ({"spool": {"url": "file:///nowhere/triage"}}, "check that the share is mounted"),
        ({"spool": {"url": "s3://bucket", "credentials": "none"}}, "spool.credentials"),
    ],
)
@pytest.mark.parametrize("command", ["check", "serve"])
def test_an_error_is_a_message_and_no_traceback(
    tmp_path: Path, command: str, settings: dict[str, Any], message: str
) -> None:
    shown = run_triage(command, config=configured(tmp_path, **settings))
    assert shown.returncode == 2
    assert message in shown.stderr
    assert "Traceback" not in shown.stderr


def test_a_port_in_use_is_an_error_that_names_the_settings(tmp_path: Path) -> None:
    config = configured(tmp_path)
    with orthanc(tmp_path / "orthanc") as pacs:
        content = yaml.safe_load(config.read_text())
        content["receiver"]["port"] = pacs.dicom_port
        config.write_text(yaml.safe_dump(content))
        shown = run_triage("receive", config=config)
    assert shown.returncode == 2
    assert "cannot listen on" in shown.stderr
    assert "another program uses this port: end it, or set receiver.port" in shown.stderr


def test_a_second_receiver_on_a_state_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    with hold_receiver_lock(tmp_path / "state"):
        for command in ("serve", "receive"):
            shown = run_triage(command, config=configured(tmp_path))
            assert shown.returncode == 2
            assert "another receiver works on" in shown.stderr


def test_serve_fails_at_once_if_a_destination_cannot_be_opened(tmp_path: Path) -> None:
    webhook = {"name": "ris", "kind": "webhook", "url": "https://ris.example"}
    webhook["secret_file"] = "gone"
    config = configured(tmp_path, destinations=[webhook], reports=["summary"])
    shown = run_triage("serve", config=config)
    assert shown.returncode == 2
    assert shown.stderr.endswith(f"error: cannot read secret_file {tmp_path / 'gone'}\n")


@pytest.mark.parametrize(
    ("web", "message"),
    [
        ({}, "web.users is empty"),
        ({"host": "0.0.0.0"}, "passwords could be read on the way"),  # noqa: S104 - refused
        ({"certificate": "a.pem"}, "give certificate and key together"),
        ({"users": {"anna": "hush hush hush"}}, "web.users.anna: is no hashed password"),
        ({"certificate": "a.pem", "key": "a.key", "users": USERS}, "certificate and web.key"),
    ],
)
def test_web_fails_with_wrong_settings(
    tmp_path: Path, ledger: SqlLedger, web: dict[str, Any], message: str
) -> None:
    ledger.close()
    shown = run_triage("web", config=configured(tmp_path, web=web))
    assert shown.returncode == 2
    assert message in shown.stderr
    assert "Traceback" not in shown.stderr


def test_web_fails_if_its_port_is_in_use(tmp_path: Path, ledger: SqlLedger) -> None:
    ledger.close()
    with socket.create_server((HOST, 0)) as other:
        web = {"port": other.getsockname()[1], "users": USERS}
        shown = run_triage("web", config=configured(tmp_path, web=web))
    assert shown.returncode == 2
    assert "cannot listen on" in shown.stderr
    assert "end it, or set web.port" in shown.stderr


def test_an_error_of_the_ledger_does_not_show_its_password(tmp_path: Path) -> None:
    url = f"postgresql+psycopg://worker:hush@127.0.0.1:{find_free_port()}/ledger"
    for command in ("check", "status"):
        done = run_triage(command, config=configured(tmp_path, ledger=url))
        assert done.returncode == 2
        assert "ledger did not answer (OperationalError)" in done.stderr
        assert "hush" not in done.stdout + done.stderr


def test_an_error_of_the_case_library_does_not_show_its_password(tmp_path: Path) -> None:
    url = f"postgresql+psycopg://worker:hush@127.0.0.1:{find_free_port()}/cases"
    done = run_triage("check", config=configured(tmp_path, case_library=url))
    assert done.returncode == 2
    assert "case_library did not answer (OperationalError)" in done.stderr
    assert "hush" not in done.stdout + done.stderr


def test_a_receiver_imports_no_library_of_other_commands() -> None:
    code = "import sys, triage.__main__, triage.cli.serve; print(*sys.modules)"
    printed = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    imported = printed.stdout.split()
    assert "pynetdicom" in imported
    others = {"sklearn", "scipy", "matplotlib", "torch", "hl7apy", "botocore"}
    assert not others.intersection(imported)
