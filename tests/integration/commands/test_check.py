"""The command `triage check`."""

import json
from pathlib import Path

import numpy as np
from pydicom import Dataset

from tests.contract.ledgers import received
from tests.integration.command_line import run_triage
from tests.integration.commands.site import (
    configured,
)
from tests.integration.hooks import SECRET, hook
from tests.integration.listeners import listener
from tests.integration.postgres import Postgres
from tests.integration.servers import orthanc
from tests.waiting import HOST
from triage.cases.keys import patient_key
from triage.cli.demo_site import find_free_port
from triage.config import load
from triage.domain.case import Case
from triage.model.bundle import open_bundle
from triage.runtime.clock import SystemClock
from triage.runtime.paths import state_folder
from triage.runtime.storage import open_ledger, open_past_cases
from triage.store.ledger import SqlLedger
from triage.store.migrations import HEAD
from triage.store.vector_library import PgVectorLibrary


def test_check_succeeds_and_changes_nothing(tmp_path: Path) -> None:
    with orthanc(tmp_path / "orthanc") as pacs:
        shown = run_triage("check", config=configured(tmp_path, pacs.dicom_port))
    assert shown.returncode == 0, shown.stderr
    assert "findings: 7" in shown.stdout
    assert "UNTRAINED: every flag will be Not Evaluated" in shown.stdout
    assert "runs on: CPUExecutionProvider" in shown.stdout
    assert "destination pacs: 0x0000 Success" in shown.stdout
    assert not (tmp_path / "state").exists()  # it changes nothing


def test_check_echoes_each_kind_of_destination_and_sends_no_report(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with hook() as program, listener() as ris:
        others = [
            {"name": "out", "kind": "folder", "path": "out"},
            {"name": "hook", "kind": "webhook", "url": program.url, "secret": SECRET},
            {"name": "ris", "kind": "mllp", "host": HOST, "port": ris.port},
        ]
        reports = ["pdf", "hl7", "summary"]
        config = configured(tmp_path, destinations=others, reports=reports)
        shown = run_triage("check", config=config)
    assert shown.returncode == 0, shown.stderr
    assert "destination out: the folder exists" in shown.stdout
    assert "destination hook: it answers (HTTP 204" in shown.stdout
    assert "destination ris: it accepts connections" in shown.stdout
    assert SECRET not in shown.stdout + shown.stderr
    assert [(method, body) for method, _, body in program.requests] == [("OPTIONS", b"")]
    assert ris.messages == list((tmp_path / "out").iterdir()) == []


def test_check_fails_for_a_destination_that_does_not_answer(tmp_path: Path) -> None:
    shown = run_triage("check", config=configured(tmp_path, find_free_port()))
    assert shown.returncode == 2
    assert "destination pacs: ORTHANC at 127.0.0.1" in shown.stderr
    assert "does not answer" in shown.stderr
    assert "open to others" not in shown.stderr


def test_check_warns_of_a_state_folder_that_is_open_to_others(tmp_path: Path) -> None:
    config = configured(tmp_path, find_free_port())
    (tmp_path / "state").mkdir()
    (tmp_path / "state").chmod(0o755)  # whatever the umask of this process is
    shown = run_triage("check", config=config)
    assert "is open to other users: run chmod 700" in shown.stderr


def test_check_warns_of_titles_that_may_send_from_anywhere(tmp_path: Path) -> None:
    receiver = {"host": "127.0.0.2", "port": find_free_port(), "calling": ["PACS"]}
    shown = run_triage("check", config=configured(tmp_path, find_free_port(), receiver=receiver))
    assert "PACS may send from any address without a certificate" in shown.stderr


def test_check_fails_without_the_watched_folder(tmp_path: Path) -> None:
    watched = {"port": find_free_port(), "calling": ["PACS"], "folder": {"path": "nowhere"}}
    shown = run_triage("check", config=configured(tmp_path, receiver=watched))
    assert shown.returncode == 2
    assert "nowhere is no folder that" in shown.stderr


def test_check_search_and_forget_use_a_case_library_on_postgres(
    tmp_path: Path, server: Postgres
) -> None:
    url = server.new_database()
    config = configured(tmp_path, case_library=url)
    settings = load(config, {})
    SqlLedger.in_folder(state_folder(settings), SystemClock()).close()
    past = open_past_cases(settings, open_bundle(settings.model.bundle))
    header = Dataset()
    header.PatientID = "4711"
    width = open_bundle(settings.model.bundle).manifest.sizes.embedding
    embedding = np.eye(width, dtype=np.float32)[0]
    past.library.add(Case("1.2.3", patient_key(past.secret, header)), embedding)
    past.library.add(Case("1.2.4", "of another"), embedding)
    assert "case library: 2 case(s)" in run_triage("check", config=config).stdout
    (found,) = json.loads(run_triage("search", "--like", "1.2.3", "--json", config=config).stdout)
    assert found["study_uid"] == "1.2.4"
    assert run_triage("forget", "4711", config=config).stdout == "1 case(s) removed\n"
    assert past.library.count_cases() == 1
    assert isinstance(past.library, PgVectorLibrary)
    past.library.close()


def test_check_and_status_use_a_ledger_on_postgres(tmp_path: Path, server: Postgres) -> None:
    config = configured(tmp_path, ledger=server.new_database())
    none = run_triage("status", config=config)
    assert none.returncode == 2
    assert "there is no ledger in the database of `ledger`" in none.stderr
    told = run_triage("check", config=config).stdout
    assert "ledger: none yet; the worker creates it on PostgreSQL" in told
    ledger = open_ledger(load(config, {}), SystemClock())
    received(ledger)
    ledger.close()
    assert f"ledger: revision {HEAD}, on PostgreSQL" in run_triage("check", config=config).stdout
    (study,) = json.loads(run_triage("status", "--json", config=config).stdout)
    assert (study["state"], study["instances"]) == ("RECEIVING", 3)


def test_check_shows_the_answer_of_the_audit_repository(tmp_path: Path) -> None:
    shown = run_triage("check", config=configured(tmp_path, audit={"file": "audit.log"}))
    assert f"audit: {tmp_path / 'audit.log'} can be written to" in shown.stdout.replace("\n", "")
    assert not (tmp_path / "audit.log").exists()
    nobody = {"host": HOST, "port": find_free_port(), "tls": False}
    shown = run_triage("check", config=configured(tmp_path, audit={"syslog": nobody}))
    assert shown.returncode == 2
    errors = shown.stderr.replace("\n", " ")
    assert "Connection refused; messages wait until the repository answers" in errors
