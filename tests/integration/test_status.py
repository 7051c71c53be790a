"""`triage status` on a terminal of 80 columns, and as JSON."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.builders.assessments import mixed
from tests.contract.ledgers import HOLDER, PRODUCT, SOURCE, numbered_receipt
from tests.integration.command_line import run_triage
from tests.integration.site_settings import configured
from triage.domain.assessment import Flag
from triage.domain.delivery import DeliveryState
from triage.domain.incident import IncidentKind, describe_correction
from triage.domain.study import Event, State
from triage.pipeline.assess import SUMMARY
from triage.runtime.clock import SystemClock
from triage.store.ledger import SqlLedger

LONG = "1.2.826.0.1.3680043.8.498." + "7" * 37  #: with a number it has 64 characters
SUMMARY_TEXT = SUMMARY.dump_json(mixed()).decode()


@pytest.fixture
def ledger(tmp_path: Path) -> SqlLedger:
    (tmp_path / "state").mkdir(mode=0o700)
    return SqlLedger.in_folder(tmp_path / "state", SystemClock())


def receive(ledger: SqlLedger, number: int) -> str:
    """Receive a study with an accession number; return its UID."""
    receipt = numbered_receipt(f"{LONG}{number}", 1)
    identity = replace(
        receipt.identity,
        series_uid=f"1.2.{number}",
        sop_instance_uid=f"1.3.{number}",
        accession_number=f"ACC{number:013}",
    )
    ledger.record_instance(replace(receipt, identity=identity), SOURCE)
    return identity.study_uid


def assess(ledger: SqlLedger, number: int, flag: Flag) -> tuple[str, list[int]]:
    """Bring a study to its reports for two destinations."""
    uid = receive(ledger, number)
    study = ledger.get_study(uid, 1)
    assert study is not None
    assert ledger.move(study, Event.JUDGED_COMPLETE, "quiet")
    claimed = ledger.claim(uid, 1, HOLDER, 30)
    assert claimed is not None
    product = replace(PRODUCT, sop_instance_uid=f"2.25.{number}")
    routes = [(product, "pacs"), (product, "vna")]
    due = ledger.finish(claimed, HOLDER, SUMMARY_TEXT, [product], routes, flag)
    assert due is not None
    return uid, [*due]


def test_a_study_is_shown_whole_at_80_columns(tmp_path: Path, ledger: SqlLedger) -> None:
    uid, (taken, refused) = assess(ledger, 1, Flag.YES)
    ledger.record_delivered(taken, "0x0000 Success")
    ledger.record_failure(refused, "0x0124 Refused: not authorised", None)
    shown = run_triage("status", config=configured(tmp_path), COLUMNS="80").stdout
    lines = [line.strip() for line in shown.splitlines()]
    assert len(uid) == 64
    assert uid in lines
    (figures,) = [line for line in lines if "FAILED" in line]
    assert figures.split()[2:] == ["FAILED", "Yes", "EXPEDITE", "ACC0000000000001", "1", "1"]
    assert "refused by vna: 0x0124 Refused: not authorised" in lines
    assert "refused by pacs" not in shown
    assert len(figures) <= 80


def test_what_is_not_assessed_has_no_flag_and_what_fails_is_not_refused_yet(
    tmp_path: Path, ledger: SqlLedger
) -> None:
    receive(ledger, 1)
    _, (failing, _) = assess(ledger, 2, Flag.NO)
    assert ledger.claim_delivery(failing, 30) is not None
    ledger.record_failure(failing, "0xA700 Out of resources", 60)
    shown = run_triage("status", config=configured(tmp_path), COLUMNS="80").stdout
    figures = [line.split()[2:6] for line in shown.splitlines() if " ACC000" in line]
    assert figures == [
        ["ASSESSED", "No", "ROUTINE", "ACC0000000000002"],
        ["RECEIVING", "-", "-", "ACC0000000000001"],
    ]
    assert "not yet taken by pacs: 0xA700 Out of resources" in shown


def test_a_corrected_study_shows_its_incident_with_a_count(
    tmp_path: Path, ledger: SqlLedger
) -> None:
    uid, other = receive(ledger, 1), receive(ledger, 2)
    kind = IncidentKind.CONFLICTING_INSTANCE
    ledger.report_repeated(kind, describe_correction(uid), SOURCE, 92, path=uid)
    config = configured(tmp_path)
    shown = run_triage("status", uid, config=config, COLUMNS="200").stdout
    assert "conflicting instance, 92 times" in shown
    assert "conflicting" not in run_triage("status", other, config=config).stdout
    (incident,) = json.loads(run_triage("status", uid, "--json", config=config).stdout)["incidents"]
    assert (incident["kind"], incident["times"]) == (kind, 92)


def test_the_newest_are_on_the_first_page(tmp_path: Path, ledger: SqlLedger) -> None:
    uids = [receive(ledger, number) for number in range(5)]
    config = configured(tmp_path)

    def shown(*options: str) -> list[str]:
        lines = run_triage("status", *options, config=config).stdout.splitlines()
        return [line.strip() for line in lines if line.strip().startswith(LONG)]

    assert shown() == uids[::-1]
    assert shown("--limit", "2") == uids[:2:-1]
    assert shown("--limit", "2", "--page", "3") == uids[:1]
    first = run_triage("status", "--limit", "2", config=config).stdout
    assert "5 studies, newest first; page 1 of 3" in first
    assert "older studies: --page 2" in first


def test_a_study_that_is_sent_again_is_not_shown_as_refused(
    tmp_path: Path, ledger: SqlLedger
) -> None:
    uid, due = assess(ledger, 1, Flag.NO)
    for delivery in due:
        ledger.record_delivered(delivery, "0x0000 Success")
    config = configured(tmp_path, destinations=folders(tmp_path, "pacs", "vna"))
    again = run_triage("replay", "--resend", uid, "--to", "vna", config=config)
    assert again.stdout == "1 deliveries are due again\n"
    shown = run_triage("status", config=config).stdout
    assert "ASSESSED" in shown
    assert "taken by" not in shown
    assert "1 delivery(ies) to vna are sent again, requested with" in shown


def test_a_destination_that_was_added_later_gets_a_study_that_was_reported_before(
    tmp_path: Path, ledger: SqlLedger
) -> None:
    uid, due = assess(ledger, 1, Flag.NO)
    for delivery in due:
        ledger.record_delivered(delivery, "0x0000 Success")
    config = configured(tmp_path, destinations=folders(tmp_path, "pacs", "vna", "new"))
    again = run_triage("replay", "--resend", uid, "--to", "new", config=config)
    assert again.stdout == "1 deliveries are due again\n"
    opened = ledger.list_deliveries(uid, 1)[-1]
    assert (opened.destination, opened.state) == ("new", DeliveryState.PENDING)


def folders(folder: Path, *names: str) -> list[dict[str, str]]:
    for name in names:
        (folder / name).mkdir()
    return [{"name": name, "kind": "folder", "path": name} for name in names]


def test_every_form_is_available_as_json(tmp_path: Path, ledger: SqlLedger) -> None:
    uid, (_, refused) = assess(ledger, 1, Flag.YES)
    ledger.record_failure(refused, "0x0124 Refused", None)
    receive(ledger, 2)
    config = configured(tmp_path)
    studies = json.loads(run_triage("status", "--json", config=config).stdout)
    assert [study["state"] for study in studies] == ["RECEIVING", "ASSESSED"]
    assert (studies[1]["flag"], studies[1]["priority"]) == ("Yes", "EXPEDITE")
    assert studies[1]["accession_number"] == "ACC0000000000001"
    assert studies[1]["refusals"] == [
        {"destination": "vna", "answer": "0x0124 Refused", "is_final": True}
    ]
    limited = run_triage("status", "--json", "--limit", "1", "--page", "2", config=config)
    assert json.loads(limited.stdout) == studies[1:]
    whole = json.loads(run_triage("status", uid, "--json", config=config).stdout)
    assert whole["revisions"] == studies[1:]
    assert [event["state"] for event in whole["history"]][-1] == "ASSESSED"
    assert {delivery["destination"] for delivery in whole["deliveries"]} == {"pacs", "vna"}
    assert whole["assessment"]["study_uid"] == mixed().study_uid


def test_a_delivered_study_is_assessed_again_on_request(tmp_path: Path, ledger: SqlLedger) -> None:
    uid, due = assess(ledger, 1, Flag.NO)
    for delivery in due:
        ledger.record_delivered(delivery, "0x0000 Success")
    config = configured(tmp_path)
    shown = run_triage("replay", "--reassess", uid, config=config)
    assert shown.stdout == f"revision 2 of {uid} is ready to be assessed\n"
    assert [study.state for study in ledger.list_studies()] == [State.DELIVERED, State.READY]
    twice = run_triage("replay", "--reassess", uid, config=config)
    assert twice.returncode == 2
    assert "is READY: it will be assessed with today's model" in twice.stderr
    both = run_triage("replay", "--resend", uid, "--reassess", uid, config=config)
    assert both.returncode == 2


def test_a_silent_destination_is_tried_now(tmp_path: Path, ledger: SqlLedger) -> None:
    _, (silent, _) = assess(ledger, 1, Flag.NO)
    ledger.record_failure(silent, "no answer", 300, unreachable=True)
    config = configured(tmp_path, destinations=folders(tmp_path, "pacs", "vna"))
    shown = run_triage("replay", "--to", "pacs", config=config)
    assert shown.stdout.splitlines() == [
        "0 deliveries are due again",
        "1 that wait for pacs are tried now",
    ]
    assert silent in ledger.list_unsent_deliveries(None)
