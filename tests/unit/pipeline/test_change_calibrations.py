"""Changes of calibrations, with a ledger in memory."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.builders.calibrations import by_budget, labelled
from tests.fakes import FakeClock, FakeFindingLedger, FakeTrail
from triage.domain.errors import FindingChangeRefused
from triage.domain.finding_version import (
    ChangeRefusal,
    FindingHistories,
    FindingState,
    FindingVersion,
)
from triage.findings.entries import ExamplesEntry, FindingEntry
from triage.pipeline.change_findings import FindingEditor

DRAFT, SILENT, ACTIVE = FindingState.DRAFT, FindingState.SILENT, FindingState.ACTIVE
REASON = ("anna", "why")
LGE = FindingEntry(id="lge", name="LGE", prompts=("abc",), views=("lge_sa",))
AF = LGE.model_copy(update={"id": "af"})


@pytest.fixture
def editor(clock: FakeClock) -> FindingEditor:
    """Return the editor of a site with two active findings."""
    made = FindingEditor(FakeFindingLedger(), FakeTrail(), clock, {"lge_sa"})
    made.import_entries((LGE, AF), lambda: (LGE, AF), *REASON)
    return made


def latest(editor: FindingEditor, finding: str = "lge") -> FindingVersion:
    found = FindingHistories(editor.ledger.list_versions()).find_latest(finding)
    assert found is not None
    return found


def label(editor: FindingEditor, *patients: int) -> FindingVersion:
    return editor.calibrate("lge", labelled(latest(editor), *patients), *REASON)


def budget(editor: FindingEditor) -> FindingVersion:
    return editor.calibrate("lge", by_budget(latest(editor)), *REASON)


def reported(editor: FindingEditor) -> list[tuple[str, int]]:
    present = FindingHistories(editor.ledger.list_versions()).select_present()
    return [(version.finding, version.number) for version in present.reported]


def views_of(version: FindingVersion) -> list[str]:
    assert version.calibration is not None
    return [each.views for each in version.calibration.thresholds]


def refused(change: Callable[[], object]) -> ChangeRefusal:
    with pytest.raises(FindingChangeRefused) as refusal:
        change()
    return refusal.value.why


def test_reports_flag_by_a_labelled_calibration_at_once(editor: FindingEditor) -> None:
    made = label(editor, 40, 12)
    assert (made.state, views_of(made)) == (ACTIVE, ["view_0"])
    assert reported(editor) == [("lge", 2), ("af", 1)]


def test_too_few_patients_are_refused_for_reports_and_tried_in_silence(
    editor: FindingEditor,
) -> None:
    with pytest.raises(FindingChangeRefused, match="label 18 more"):
        label(editor, 12)
    assert reported(editor) == [("lge", 1), ("af", 1)]
    editor.move("lge", SILENT, *REASON)
    assert views_of(label(editor, 12)) == ["view_0"]
    assert refused(lambda: editor.move("lge", ACTIVE, *REASON)) is ChangeRefusal.FEW_LABELLED
    assert views_of(label(editor, 12, 30)) == ["view_0", "view_1"]
    assert views_of(editor.move("lge", ACTIVE, *REASON)) == ["view_1"]


def test_a_budget_makes_a_finding_silent_and_its_activation_is_a_step_of_its_own(
    editor: FindingEditor,
) -> None:
    assert budget(editor).state is SILENT
    assert reported(editor) == [("af", 1)]
    assert budget(editor).state is SILENT
    assert editor.move("lge", ACTIVE, *REASON).calibration == latest(editor).calibration
    assert reported(editor) == [("lge", 4), ("af", 1)]


def test_a_draft_with_a_budget_is_silent_and_reports_go_on(editor: FindingEditor) -> None:
    changed = LGE.model_copy(update={"name": "Scar"})
    editor.import_entries((changed, AF), lambda: (), *REASON)
    assert latest(editor).state is DRAFT
    assert budget(editor).state is SILENT
    assert reported(editor) == [("lge", 1), ("af", 1)]


def test_where_two_persons_are_needed_a_calibration_is_approved_too(editor: FindingEditor) -> None:
    careful = replace(editor, needs_two_persons=True)
    assert label(careful, 40).state is SILENT
    careful.move("lge", ACTIVE, *REASON)
    assert label(careful, 50).asked_by == ""
    careful.move("lge", ACTIVE, *REASON)
    assert views_of(careful.approve("lge", "ben", "seen")) == ["view_0"]
    assert careful.use_bundle("lge", *REASON).state is SILENT


def test_an_approval_limits_the_thresholds(editor: FindingEditor) -> None:
    careful = replace(editor, needs_two_persons=True)
    careful.move("lge", SILENT, *REASON)
    label(careful, 12)
    assert refused(lambda: careful.move("lge", ACTIVE, *REASON)) is ChangeRefusal.FEW_LABELLED
    label(careful, 40, 12)
    careful.move("lge", ACTIVE, *REASON)
    assert views_of(careful.approve("lge", "ben", "seen")) == ["view_0"]


def test_the_bundles_thresholds_can_be_used_again(editor: FindingEditor) -> None:
    assert refused(lambda: editor.use_bundle("lge", *REASON)) is ChangeRefusal.NOT_CALIBRATED
    label(editor, 40)
    made = editor.use_bundle("lge", *REASON)
    assert (made.calibration, made.state, reported(editor)[0]) == (None, ACTIVE, ("lge", 3))


def test_undo_restores_the_earlier_calibration(editor: FindingEditor) -> None:
    first = label(editor, 40).calibration
    budget(editor)
    restored = editor.undo("lge", *REASON)
    assert (restored.calibration, restored.state) == (first, ACTIVE)
    assert editor.undo("lge", *REASON, to=1).calibration is None


def test_a_finding_that_was_edited_while_it_was_scored_is_refused(editor: FindingEditor) -> None:
    made = labelled(latest(editor), 40)
    editor.import_entries((LGE.model_copy(update={"name": "Scar"}), AF), lambda: (), *REASON)
    why = refused(lambda: editor.calibrate("lge", made, *REASON))
    assert why is ChangeRefusal.CHANGED_MEANWHILE


def test_a_finding_by_examples_and_a_retired_one_are_refused(editor: FindingEditor) -> None:
    examples = ExamplesEntry(present=("1.2",), absent=("1.3",))
    shown = LGE.model_copy(update={"examples": examples})
    editor.import_entries((shown, AF), lambda: (), *REASON)
    assert refused(lambda: label(editor, 40)) is ChangeRefusal.HAS_EXAMPLES
    editor.move("lge", FindingState.RETIRED, *REASON)
    assert refused(lambda: label(editor, 40)) is ChangeRefusal.NOT_FROM_HERE


def test_an_activation_keeps_a_calibration_that_does_not_hold_any_more(
    editor: FindingEditor,
) -> None:
    label(editor, 40)
    editor.import_entries((LGE.model_copy(update={"name": "Scar"}), AF), lambda: (), *REASON)
    editor.move("lge", SILENT, *REASON)
    assert views_of(editor.move("lge", ACTIVE, *REASON)) == ["view_0"]


def test_every_calibration_is_an_audit_event_with_its_policy(editor: FindingEditor) -> None:
    trail = editor.audit
    assert isinstance(trail, FakeTrail)
    trail.events.clear()
    budget(editor)
    (event,) = trail.events
    ((_, what),) = event.objects[0].details
    assert what.startswith(b"version 2: calibrated; silent; SHA-256 ")
    assert what.endswith(b"; thresholds: budget 5/week, accuracy unknown")
