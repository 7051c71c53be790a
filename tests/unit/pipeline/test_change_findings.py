"""Changes of findings, with a ledger in memory."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.fakes import FakeClock, FakeFindingLedger, FakeTrail
from triage.domain.audit import AuditOutcome
from triage.domain.errors import ConfigurationError, FindingChangeRefused
from triage.domain.finding_version import (
    ChangeRefusal,
    FindingHistories,
    FindingState,
    FindingVersion,
)
from triage.findings.entries import FindingEntry
from triage.pipeline.change_findings import FindingEditor, ImportResult

SILENT, ACTIVE, RETIRED = FindingState.SILENT, FindingState.ACTIVE, FindingState.RETIRED
REASON = ("anna", "why")


def entry(id_: str, *prompts: str, view: str = "lge_sa") -> FindingEntry:
    return FindingEntry(id=id_, name=id_.upper(), prompts=prompts or ("abc",), views=(view,))


IN_USE = [entry("lge"), entry("af")]


@pytest.fixture
def editor(clock: FakeClock) -> FindingEditor:
    return FindingEditor(FakeFindingLedger(), FakeTrail(), clock, {"lge_sa"})


@pytest.fixture
def started(editor: FindingEditor) -> FindingEditor:
    """Return the editor of a site whose findings in use were taken over."""
    import_(editor, *IN_USE)
    trail_of(editor).events.clear()
    return editor


def import_(editor: FindingEditor, *entries: FindingEntry, retire: bool = False) -> ImportResult:
    return editor.import_entries(entries, lambda: IN_USE, *REASON, retire_missing=retire)


def trail_of(editor: FindingEditor) -> FakeTrail:
    assert isinstance(editor.audit, FakeTrail)
    return editor.audit


def versions_of(editor: FindingEditor) -> list[FindingVersion]:
    return list(editor.ledger.list_versions())


def reported(editor: FindingEditor) -> list[tuple[str, int]]:
    present = FindingHistories(editor.ledger.list_versions()).select_present()
    return [(version.finding, version.number) for version in present.reported]


def refused(change: Callable[[], object]) -> ChangeRefusal:
    with pytest.raises(FindingChangeRefused) as refusal:
        change()
    return refusal.value.why


def test_the_first_import_takes_over_what_reports_show(editor: FindingEditor) -> None:
    result = import_(editor, entry("lge", "other"), entry("new"))
    assert result == ImportResult(
        taken_over=["lge", "af"], edited=["lge"], added=["new"], missing=["af"]
    )
    assert reported(editor) == [("lge", 1), ("af", 1)]
    assert [v.number for v in versions_of(editor)] == [1, 1, 2, 1]


def test_a_file_that_changes_nothing_appends_nothing(started: FindingEditor) -> None:
    result = import_(started, *reversed(IN_USE))
    assert result == ImportResult(unchanged=["af", "lge"])
    assert (len(versions_of(started)), trail_of(started).events) == (2, [])


def test_a_finding_that_the_file_lacks_is_retired_only_on_request(started: FindingEditor) -> None:
    assert import_(started, IN_USE[0]).missing == ["af"]
    assert reported(started) == [("lge", 1), ("af", 1)]
    assert import_(started, IN_USE[0], retire=True).retired == ["af"]
    assert reported(started) == [("lge", 1)]
    assert import_(started, *IN_USE).returned == ["af"]
    assert reported(started) == [("lge", 1)]


def test_an_import_is_one_change(started: FindingEditor) -> None:
    appended: list[int] = []
    ledger = started.ledger

    class Counting(FakeFindingLedger):
        def append(self, versions: object, revision: int) -> bool:
            appended.append(revision)
            return ledger.append(versions, revision)  # type: ignore[arg-type]

    counting = replace(started, ledger=Counting(list(ledger.list_versions())))
    import_(counting, entry("new"), entry("lge", "other"), retire=True)
    assert appended == [2]


def test_a_finding_becomes_active_by_way_of_silent(started: FindingEditor) -> None:
    import_(started, *IN_USE, entry("new"))
    move = started.move
    assert refused(lambda: move("new", ACTIVE, *REASON)) is ChangeRefusal.NOT_FROM_HERE
    move("new", SILENT, *REASON)
    assert reported(started) == [("lge", 1), ("af", 1)]
    move("new", ACTIVE, *REASON)
    assert reported(started) == [("lge", 1), ("af", 1), ("new", 3)]
    assert refused(lambda: move("new", ACTIVE, *REASON)) is ChangeRefusal.ALREADY_THERE
    assert refused(lambda: move("none", SILENT, *REASON)) is ChangeRefusal.UNKNOWN_FINDING


def test_reports_never_show_no_finding(started: FindingEditor) -> None:
    started.move("af", RETIRED, *REASON)
    for change in (
        lambda: started.move("lge", RETIRED, *REASON),
        lambda: started.move("lge", FindingState.DRAFT, *REASON),
        lambda: import_(started, entry("new"), retire=True),
    ):
        assert refused(change) is ChangeRefusal.LAST_REPORTED
    assert reported(started) == [("lge", 1)]


def test_undo_appends_and_undoing_twice_restores(started: FindingEditor) -> None:
    started.move("af", RETIRED, *REASON)
    undone = started.undo("af", "ben", "a mistake")
    assert (undone.number, undone.state, undone.note.author) == (3, ACTIVE, "ben")
    assert reported(started) == [("lge", 1), ("af", 3)]
    assert started.undo("af", *REASON).state is RETIRED
    assert started.undo("af", *REASON, to=1).state is ACTIVE
    assert [v.number for v in versions_of(started) if v.finding == "af"] == [1, 2, 3, 4, 5]


def test_undo_needs_an_earlier_version(started: FindingEditor) -> None:
    assert refused(lambda: started.undo("af", *REASON)) is ChangeRefusal.NOTHING_TO_UNDO
    assert refused(lambda: started.undo("af", *REASON, to=1)) is ChangeRefusal.NOTHING_TO_UNDO
    assert refused(lambda: started.undo("af", *REASON, to=9)) is ChangeRefusal.UNKNOWN_VERSION


def test_an_activation_waits_for_another_person(started: FindingEditor) -> None:
    careful = replace(started, needs_two_persons=True)
    import_(careful, *IN_USE, entry("new"))
    careful.move("new", SILENT, *REASON)
    approve = careful.approve
    assert refused(lambda: approve("new", "ben", "ok")) is ChangeRefusal.NOTHING_TO_APPROVE
    assert careful.move("new", ACTIVE, *REASON).asked_by == "anna"
    assert reported(careful) == [("lge", 1), ("af", 1)]
    assert refused(lambda: approve("new", " Anna", "ok")) is ChangeRefusal.SAME_AUTHOR
    again = refused(lambda: careful.move("new", ACTIVE, "ben", "ok"))
    assert again is ChangeRefusal.ALREADY_ASKED
    assert approve("new", "ben", "ok").state is ACTIVE
    assert reported(careful) == [("lge", 1), ("af", 1), ("new", 4)]


@pytest.mark.parametrize("change", ["edit", "undo", "draft"])
def test_a_change_in_between_ends_a_waiting_activation(started: FindingEditor, change: str) -> None:
    careful = replace(started, needs_two_persons=True)
    import_(careful, *IN_USE, entry("new"))
    careful.move("new", SILENT, *REASON)
    careful.move("new", ACTIVE, *REASON)
    if change == "edit":
        import_(careful, *IN_USE, entry("new", "other"))
    elif change == "undo":
        careful.undo("new", *REASON)
    else:
        careful.move("new", FindingState.DRAFT, *REASON)
    why = refused(lambda: careful.approve("new", "ben", "ok"))
    assert why is ChangeRefusal.NOTHING_TO_APPROVE


def test_a_view_that_the_model_does_not_have_is_refused(started: FindingEditor) -> None:
    with pytest.raises(ConfigurationError, match="needs cine_sa"):
        import_(started, entry("new", view="cine_sa"))
    other = replace(started, views={"cine_sa"})
    with pytest.raises(ConfigurationError, match="needs lge_sa"):
        other.undo("af", *REASON, to=other.move("af", RETIRED, *REASON).number - 1)


def test_every_version_is_an_audit_event_before_it_is_stored(started: FindingEditor) -> None:
    trail = trail_of(started)
    import_(started, entry("lge", "other"), entry("new"), retire=True)
    assert [event.objects[0].id for event in trail.events] == [
        "finding:lge",
        "finding:new",
        "finding:af",
    ]
    assert {event.participants[0].user_id for event in trail.events} == {"anna"}  # type: ignore[union-attr]


def test_a_change_that_came_second_is_refused_and_recorded_as_prevented(
    started: FindingEditor,
) -> None:
    known = versions_of(started)

    class Late(FakeFindingLedger):
        def get_revision(self) -> int:
            return len(self.versions) - 1

    late = replace(started, ledger=Late(known))
    why = refused(lambda: late.move("af", RETIRED, *REASON))
    assert why is ChangeRefusal.CHANGED_MEANWHILE
    outcomes = [event.outcome for event in trail_of(started).events]
    assert outcomes == [AuditOutcome.SUCCESS, AuditOutcome.MINOR]
    assert versions_of(late) == known
