"""Commands for files, passwords and tokens, and those that send or remove."""

import json
from pathlib import Path

import yaml

from receivers.stow.access import StowAccess
from tests.integration.command_line import run_triage
from tests.integration.commands.site import (
    configured,
)
from tests.integration.servers import orthanc
from tests.waiting import HOST
from triage.cli.demo_site import REAL_STUDY, find_free_port
from triage.config import load
from triage.store.ledger import SqlLedger
from triage.web.passwords import verify_password


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
