"""The life of a finding, without a ledger."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triage.domain.finding_version import (
    MOVES,
    REFUSALS,
    ChangeNote,
    ChangeRefusal,
    FindingHistories,
    FindingState,
    FindingVersion,
    approve,
    ask_for_activation,
    edit,
    is_same_author,
    move,
    open_version,
    restore,
)

NOTE = ChangeNote("anna", 1.0, "why")
DRAFT = open_version("lge", "first", NOTE)
IN_USE = open_version("lge", "first", NOTE, is_in_use=True)


def in_use(*versions: FindingVersion) -> tuple[list[str], list[str]]:
    """Return the contents that reports show, and those that are scored in silence."""
    present = FindingHistories(versions).select_present()
    return [v.content for v in present.reported], [v.content for v in present.silent]


def test_a_finding_lives_from_draft_to_retired() -> None:
    silent = move(DRAFT, FindingState.SILENT, NOTE)
    active = move(silent, FindingState.ACTIVE, NOTE)
    retired = move(active, FindingState.RETIRED, NOTE)
    assert in_use(DRAFT) == ([], [])
    assert in_use(DRAFT, silent) == ([], ["first"])
    assert in_use(DRAFT, silent, active) == (["first"], [])
    assert in_use(DRAFT, silent, active, retired) == ([], [])
    assert [v.number for v in (DRAFT, silent, active, retired)] == [1, 2, 3, 4]


def test_an_edited_finding_is_reported_as_before_until_it_is_active() -> None:
    edited = edit(IN_USE, "second", NOTE)
    silent = move(edited, FindingState.SILENT, NOTE)
    active = move(silent, FindingState.ACTIVE, NOTE)
    assert in_use(IN_USE, edited) == (["first"], [])
    assert in_use(IN_USE, edited, silent) == (["first"], ["second"])
    assert in_use(IN_USE, edited, silent, active) == (["second"], [])


@pytest.mark.parametrize("state", [FindingState.DRAFT, FindingState.RETIRED])
def test_an_active_finding_can_be_taken_out_of_the_reports(state: FindingState) -> None:
    assert in_use(IN_USE, move(IN_USE, state, NOTE)) == ([], [])


def test_undoing_an_activation_brings_back_what_reports_showed() -> None:
    edited = edit(IN_USE, "second", NOTE)
    silent = move(edited, FindingState.SILENT, NOTE)
    active = move(silent, FindingState.ACTIVE, NOTE)
    undone = restore(active, silent, NOTE)
    assert in_use(IN_USE, edited, silent, active, undone) == (["first"], ["second"])
    back = restore(undone, IN_USE, NOTE)
    assert in_use(IN_USE, edited, silent, active, undone, back) == (["first"], [])
    assert (back.number, back.reported, back.digest) == (6, 6, IN_USE.digest)


def test_an_activation_that_waits_changes_nothing_in_the_reports() -> None:
    silent = move(DRAFT, FindingState.SILENT, NOTE)
    asked = ask_for_activation(silent, NOTE)
    assert (asked.asked_by, in_use(DRAFT, silent, asked)) == ("anna", ([], ["first"]))
    active = approve(asked, ChangeNote("ben", 2.0, "seen"))
    assert (active.asked_by, in_use(DRAFT, silent, asked, active)) == ("", (["first"], []))


def test_findings_keep_the_order_in_which_they_were_added() -> None:
    other = open_version("af", "other", NOTE, is_in_use=True)
    retired = move(IN_USE, FindingState.RETIRED, NOTE)
    back = restore(retired, IN_USE, NOTE)
    assert in_use(IN_USE, other, retired, back) == (["first", "other"], [])


def test_every_state_can_be_left_and_every_refusal_has_its_sentence() -> None:
    assert {*MOVES} == {*FindingState}
    assert set().union(*MOVES.values()) == {*FindingState}
    assert {*REFUSALS} == {*ChangeRefusal}


def test_names_are_compared_without_case_and_outer_spaces() -> None:
    assert is_same_author("Anna", " anna")
    assert not is_same_author("anna", "ben")


@given(st.lists(st.sampled_from([*FindingState, "edit", "undo"]), max_size=12))
def test_no_sequence_of_changes_leads_outside(changes: Sequence[str]) -> None:
    versions = [IN_USE]
    for change in changes:
        latest = versions[-1]
        if change == "edit":
            versions.append(edit(latest, f"content {len(versions)}", NOTE))
        elif change == "undo":
            versions.append(restore(latest, versions[max(0, len(versions) - 2)], NOTE))
        elif latest.state in MOVES[FindingState(change)]:
            versions.append(move(latest, FindingState(change), NOTE))
    latest = versions[-1]
    assert [version.number for version in versions] == list(range(1, len(versions) + 1))
    assert latest.state is not FindingState.ACTIVE or latest.reported == latest.number
    assert latest.state is not FindingState.RETIRED or latest.reported is None
    if latest.reported is not None:
        assert versions[latest.reported - 1].state is FindingState.ACTIVE
