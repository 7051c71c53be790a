"""The commands `triage status` and `triage replay`."""

import json
from pathlib import Path

from tests.contract.ledgers import SOURCE, assessed, assessing, current, receipt
from tests.integration.command_line import run_triage
from tests.integration.commands.site import (
    configured,
)
from triage.domain.incident import IncidentKind
from triage.domain.instance import Source
from triage.domain.study import Event, State
from triage.store.ledger import SqlLedger


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
