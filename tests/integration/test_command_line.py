"""The command line, as users type it."""

import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from pydicom import Dataset

from receivers.stow.access import StowAccess
from tests.contract.ledgers import SOURCE, assessed, assessing, current, receipt, received
from tests.integration.command_line import run_triage
from tests.integration.hooks import SECRET, hook
from tests.integration.listeners import listener
from tests.integration.postgres import Postgres
from tests.integration.servers import orthanc
from tests.waiting import HOST
from triage.__main__ import COMMANDS
from triage.cases.keys import patient_key
from triage.cli.demo_site import REAL_STUDY, find_free_port
from triage.concurrency.file_lock import hold_receiver_lock
from triage.config import load
from triage.domain.case import Case
from triage.domain.incident import IncidentKind
from triage.domain.instance import Source
from triage.domain.study import Event, State
from triage.model.bundle import open_bundle
from triage.runtime.clock import SystemClock
from triage.runtime.paths import state_folder
from triage.runtime.storage import open_ledger, open_past_cases
from triage.store.ledger import SqlLedger
from triage.store.migrations import HEAD
from triage.store.vector_library import PgVectorLibrary
from triage.web.passwords import hash_password, verify_password

USERS = {"anna": hash_password("correct horse battery")}


def configured(tmp_path: Path, port: int = 1, **settings: Any) -> Path:
    pacs = {"name": "pacs", "ae_title": "ORTHANC", "host": HOST, "port": port, "timeout_s": 2}
    content = {
        "state_dir": "state",
        "receiver": {"port": find_free_port(), "calling": ["PACS"]},
        "destinations": [pacs],
        **settings,
    }
    path = tmp_path / "triage.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.fixture
def ledger(tmp_path: Path) -> SqlLedger:
    (tmp_path / "state").mkdir()
    return SqlLedger.in_folder(tmp_path / "state", SystemClock())


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


def test_check_fails_without_the_watched_folder(tmp_path: Path) -> None:
    watched = {"port": find_free_port(), "calling": ["PACS"], "folder": {"path": "nowhere"}}
    shown = run_triage("check", config=configured(tmp_path, receiver=watched))
    assert shown.returncode == 2
    assert "nowhere is no folder that" in shown.stderr


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


def test_send_stores_a_folder_at_a_pacs(tmp_path: Path) -> None:
    with orthanc(tmp_path / "orthanc") as pacs:
        port = str(pacs.dicom_port)
        shown = run_triage("send", str(REAL_STUDY / "sax_1"), "--port", port, "--called", "ORTHANC")
        assert shown.returncode == 0, shown.stderr
        assert len(pacs.get("/instances")) == 25
    assert "25 instances stored at ORTHANC" in shown.stdout


def test_send_to_a_pacs_that_does_not_answer_is_an_error() -> None:
    shown = run_triage("send", str(REAL_STUDY / "sax_1"), "--port", str(find_free_port()))
    assert shown.returncode == 2
    assert "does not answer" in shown.stderr
    assert "Traceback" not in shown.stderr


def test_status_shows_states_reasons_and_incidents(tmp_path: Path, ledger: SqlLedger) -> None:
    ledger.record_instance(receipt("arriving"), SOURCE)
    study = assessing(ledger)
    assert ledger.move(study, Event.DECLINED, "no MR images, only CT")
    for times in (1, 16):
        ledger.report_repeated(
            IncidentKind.REJECTED_ASSOCIATION, "unknown calling AE title 'X'", SOURCE, times
        )
    shown = run_triage("status", config=configured(tmp_path))
    assert shown.returncode == 0, shown.stderr
    assert "no MR images, only CT" in shown.stdout
    assert "RECEIVING" in shown.stdout
    assert "unknown calling AE title 'X'" in shown.stdout
    assert "17 times" in shown.stdout
    assert "Marked" not in shown.stdout


def test_status_shows_access_to_past_cases_only_with_looks(
    tmp_path: Path, ledger: SqlLedger
) -> None:
    ledger.report_incident(IncidentKind.REJECTED_ASSOCIATION, "unknown calling AE title", SOURCE)
    for number in range(12):
        ledger.report_incident(
            IncidentKind.CASES_SEARCHED, f"{number} case(s) listed", Source("", "user anna")
        )
    config = configured(tmp_path)
    shown = run_triage("status", config=config).stdout
    assert "unknown calling AE title" in shown
    assert "user anna" not in shown
    looks = run_triage("status", "--looks", "2", config=config).stdout
    assert looks.count("user anna") == 2
    assert "Access to past cases, newest first" in looks


def test_status_writes_json(tmp_path: Path, ledger: SqlLedger) -> None:
    study = assessing(ledger)
    config = configured(tmp_path)
    (row,) = json.loads(run_triage("status", "--json", config=config).stdout)
    assert (row["study_uid"], row["state"]) == (study.study_uid, "ASSESSING")
    assert (
        json.loads(run_triage("status", "--json", "--state", "FAILED", config=config).stdout) == []
    )


def test_status_of_one_study_shows_its_history_and_deliveries(
    tmp_path: Path, ledger: SqlLedger
) -> None:
    study, (delivery,) = assessed(ledger)
    ledger.record_failure(delivery, "0xA700 Out of resources", 60)
    shown = run_triage("status", study.study_uid, config=configured(tmp_path))
    assert "0xA700 Out of resources" in shown.stdout
    assert "judged complete" in shown.stdout


def test_status_of_a_new_site_creates_no_ledger(tmp_path: Path) -> None:
    shown = run_triage("status", config=configured(tmp_path))
    assert shown.returncode == 2
    assert "there is no ledger in" in shown.stderr
    assert not (tmp_path / "state").exists()


def test_status_of_an_unknown_study_is_an_error(tmp_path: Path, ledger: SqlLedger) -> None:
    assert ledger.list_known_paths() == set()
    shown = run_triage("status", "1.2.3", config=configured(tmp_path))
    assert (shown.returncode, shown.stderr) == (2, "error: the ledger has no study 1.2.3\n")


def test_replay_makes_a_failed_study_ready_again(tmp_path: Path, ledger: SqlLedger) -> None:
    study = assessing(ledger)
    assert ledger.move(study, Event.SET_ASIDE, "why")
    config = configured(tmp_path)
    shown = run_triage("replay", study.study_uid, config=config)
    assert shown.stdout == "1 studies are ready again\n"
    assert current(ledger, study.study_uid).state is State.READY
    assert run_triage("replay", study.study_uid, config=config).returncode == 2


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


def test_replay_makes_a_named_declined_study_ready(tmp_path: Path, ledger: SqlLedger) -> None:
    study = assessing(ledger)
    assert ledger.move(study, Event.DECLINED, "no view")
    config = configured(tmp_path)
    assert run_triage("replay", "--all", config=config).stdout == "0 studies are ready again\n"
    assert run_triage("replay", study.study_uid, config=config).returncode == 0
    assert current(ledger, study.study_uid).state is State.READY


def test_replay_of_all_leaves_a_superseded_revision(tmp_path: Path, ledger: SqlLedger) -> None:
    study = assessing(ledger)
    assert ledger.move(study, Event.SET_ASIDE, "why")
    second = ledger.record_instance(receipt(number=9), SOURCE)
    config = configured(tmp_path)
    assert run_triage("replay", "--all", config=config).stdout.splitlines() == [
        "0 studies are ready again",
        "1 are left as they are: a later revision exists",
    ]
    assert ledger.move(second, Event.JUDGED_COMPLETE, "quiet")
    claimed = ledger.claim(second.study_uid, 2, "worker", 30)
    assert claimed is not None
    assert ledger.move(claimed, Event.SET_ASIDE, "why")
    shown = run_triage("replay", study.study_uid, config=config)
    assert shown.stdout == "1 studies are ready again\n"
    states = [each.state for each in ledger.list_studies()]
    assert states == [State.FAILED, State.READY]


def test_given_up_deliveries_are_shown_and_sent_again(tmp_path: Path, ledger: SqlLedger) -> None:
    study, (lost, warned, silent) = assessed(ledger, "pacs", "archive", "ris")
    ledger.record_failure(lost, "0xA700 Out of resources", None)
    ledger.record_delivered(warned, "0xB006 Elements discarded")
    ledger.record_failure(silent, "it does not answer [yet]", 60, unreachable=True)
    config = configured(tmp_path)
    told = " ".join(run_triage("status", config=config).stdout.split())
    assert "Given up: 1 deliveries" in told
    assert "0xA700" in told
    assert "Destinations that do not answer" in told
    assert "[yet]" in told
    assert "0xB006" in run_triage("status", study.study_uid, config=config).stdout
    shown = run_triage("replay", "--delivery", str(lost), config=config)
    assert shown.stdout == "1 deliveries are due again\n"
    refused = run_triage("replay", "--delivery", str(lost), config=config)
    assert refused.returncode == 2
    assert "were not given up, or their content was removed" in refused.stderr
    ledger.record_failure(lost, "0xA700 Out of resources", None)
    shown = run_triage("replay", "--deliveries", study.study_uid, config=config)
    assert shown.stdout == "1 deliveries are due again\n"
    ledger.record_failure(lost, "0xA700 Out of resources", None)
    assert run_triage("replay", "--to", "pacs", config=config).stdout.startswith("1 deliveries")
    unknown = run_triage("replay", "--to", "pax", config=config)
    assert "`destinations` in the settings has no pax" in unknown.stderr
    shown = run_triage("replay", "--deliveries", "--all", config=config)
    assert shown.stdout == "0 deliveries are due again\n"
    assert run_triage("replay", "--all", "--to", "pacs", config=config).returncode == 2


def test_status_prints_markup_in_texts_literally(tmp_path: Path, ledger: SqlLedger) -> None:
    ledger.report_incident(
        IncidentKind.REFUSED_INSTANCE,
        "it said [/b]",
        Source("[/a]", "127.0.0.1"),
        "refused/[/c].dcm",
    )
    study = assessing(ledger)
    assert ledger.move(study, Event.SET_ASIDE, "it broke [/d]")
    config = configured(tmp_path)
    shown = run_triage("status", config=config)
    assert shown.returncode == 0
    assert all(each in shown.stdout for each in ("[/a]", "[/b]", "[/c]", "[/d]"))
    assert run_triage("status", study.study_uid, config=config).stdout.count("[/d]") == 2


def test_phantom_writes_studies_and_a_contact_sheet(tmp_path: Path) -> None:
    sheet, out = tmp_path / "hearts.png", tmp_path / "archive"
    shown = run_triage("phantom", "--sheet", str(sheet), "--out", str(out), "--count", "2")
    assert shown.returncode == 0, shown.stderr
    assert sheet.read_bytes().startswith(b"\x89PNG")
    assert [folder.name for folder in sorted(out.iterdir())] == ["00000000", "00000001"]
    assert run_triage("phantom").returncode == 2


def test_series_shows_the_chosen_series_and_why(tmp_path: Path) -> None:
    shown = run_triage("series", str(REAL_STUDY), "--sheet", str(tmp_path / "sheet.png"))
    assert shown.returncode == 0, shown.stderr
    assert "slice 2 of 3 from the base" in shown.stdout
    assert (tmp_path / "sheet.png").stat().st_size > 10_000
    found = json.loads(run_triage("series", str(REAL_STUDY), "--json").stdout)
    (study,) = found["studies"]
    assert {each["view"] for each in study["used"]} == {"cine_sa", "cine_lax"}


def test_series_applies_a_site_s_rules_to_names(tmp_path: Path) -> None:
    (tmp_path / "ours.yaml").write_text(
        "sequences:\n  - {attribute: name, pattern: '^house recipe', means: lge}\n"
    )
    site = configured(tmp_path, series_rules="ours.yaml")
    names = tmp_path / "names.txt"
    names.write_text("house_recipe SAX\nSAX_FIESTA_BH\n")
    shown = run_triage("series", "--names", str(names), config=site)
    assert shown.stdout == "name,sequence,view\nhouse_recipe SAX,lge,SAX\nSAX_FIESTA_BH,cine,SAX\n"


def test_series_without_a_folder_is_a_usage_error() -> None:
    asked = run_triage("series")
    assert asked.returncode == 2
    assert "give FOLDER for images" in asked.stderr


def test_password_prints_a_line_that_the_settings_accept(tmp_path: Path) -> None:
    made = run_triage("password", "anna", typed="correct horse battery\n")
    config = configured(tmp_path, web={"users": yaml.safe_load(made.stdout)})
    kept = load(config, {}).web.users["anna"]
    assert verify_password(kept, "correct horse battery")
    assert kept not in run_triage("check", "--settings", config=config).stdout


def test_token_prints_a_line_for_the_sender_and_one_for_the_settings(tmp_path: Path) -> None:
    sender, settings = run_triage("token", "MR1").stdout.splitlines()
    senders = yaml.safe_load(settings.removeprefix("for the settings:"))
    config = configured(tmp_path, receiver={"stow": {"senders": senders}})
    stow = load(config, {}).receiver.stow
    assert stow is not None
    _, _, said = sender.partition("Authorization: ")
    assert StowAccess(stow.senders).admit(said, HOST, frozenset()) == "MR1"
    assert "1 to 16 characters" in run_triage("token", "x" * 17).stderr


def test_password_refuses_an_invalid_user_name() -> None:
    assert "begins with a letter" in run_triage("password", "Anna B").stderr


def test_a_short_password_is_refused() -> None:
    made = run_triage("password", "anna")
    assert made.returncode == 2
    assert "at least 12 characters" in made.stderr


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


def test_forget_is_recorded_in_the_audit_trail(tmp_path: Path, ledger: SqlLedger) -> None:
    ledger.close()
    config = configured(tmp_path, audit={"file": "audit.log"})
    state = load(config, {}).state_dir
    assert run_triage("forget", "4711", config=config).stdout == "0 case(s) removed\n"
    (waiting,) = (state / "audit").glob("*.line")
    said = waiting.read_text()
    assert 'originalText="Patient Record"' in said
    assert 'EventActionCode="D"' in said
    assert 'ParticipantObjectID="4711"' in said
    assert (
        "1 audit message(s) wait for the repository" in run_triage("status", config=config).stderr
    )


def test_check_shows_the_answer_of_the_audit_repository(tmp_path: Path) -> None:
    shown = run_triage("check", config=configured(tmp_path, audit={"file": "audit.log"}))
    assert f"audit: {tmp_path / 'audit.log'} can be written to" in shown.stdout.replace("\n", "")
    assert not (tmp_path / "audit.log").exists()
    nobody = {"host": HOST, "port": find_free_port(), "tls": False}
    shown = run_triage("check", config=configured(tmp_path, audit={"syslog": nobody}))
    assert shown.returncode == 2
    errors = shown.stderr.replace("\n", " ")
    assert "Connection refused; messages wait until the repository answers" in errors
