"""Retention: what is removed, what is kept, and how studies return."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom.uid import ComprehensiveSRStorage

from tests.builders.ended import IMAGES, WorkerWithStudies, ended_long_ago, report
from tests.builders.images import image, part10, uid
from tests.contract.ledgers import SOURCE
from tests.fakes import FakeClock, FakeTrail
from triage.config import Settings
from triage.domain.audit import STUDY_DELETED
from triage.domain.commitment import FailureReason, Reference, find_failure
from triage.domain.errors import DamagedInstance, StudyBeingRemoved
from triage.domain.instance import CorrectedStudy, ReceiptOutcome
from triage.domain.retention import SETTLED_S, RetentionLimits
from triage.domain.study import Event, State
from triage.pipeline.assess import Assessor
from triage.pipeline.audit_events import StudyTrail
from triage.pipeline.intake import Intake
from triage.pipeline.retention import AGE, SPACE, RetentionRunner
from triage.runtime.retrieval import open_intake_target
from triage.store.commitments import SqlCommitments

DAY_S = 86_400.0
WEEK = RetentionLimits(delivered_s=7 * DAY_S)


@pytest.fixture
def worker(tmp_path: Path, clock: FakeClock) -> Iterator[WorkerWithStudies]:
    made = WorkerWithStudies(tmp_path, clock)
    yield made
    made.close()


def going(worker: WorkerWithStudies, limits: RetentionLimits) -> list[tuple[str, str, str]]:
    """Plan and remove; return what was removed."""
    pruner = worker.pruner(limits)
    planned = pruner.plan()
    assert pruner.prune() == planned
    return [(removal.what, removal.study_uid, removal.why) for removal in planned]


def test_nothing_is_removed_without_a_limit(worker: WorkerWithStudies, clock: FakeClock) -> None:
    for state in (State.DELIVERED, State.DECLINED, State.FAILED):
        worker.end(state, state)
    clock.pass_s(1e9)
    assert going(worker, RetentionLimits()) == []


def test_images_of_a_delivered_study_are_removed_at_the_limit(
    worker: WorkerWithStudies, clock: FakeClock
) -> None:
    worker.end("old", State.DELIVERED)
    clock.pass_s(DAY_S)
    worker.end("new", State.DELIVERED)
    clock.pass_s(6 * DAY_S)
    (gone,) = worker.pruner(WEEK).prune()
    assert (gone.study_uid, gone.items, gone.why) == (uid("old"), IMAGES, AGE)
    assert gone.size > 3 * 512
    assert (worker.files("old"), worker.files("new")) == (0, IMAGES)
    assert worker.ledger.list_paths(uid("old"), 1) == []
    assert not (worker.folder / "spool" / uid("old")).exists()
    assert worker.latest("old").state is State.DELIVERED
    assert worker.latest("old").pruned_at == clock.now()
    assert worker.ledger.history(uid("old"))[-1].event == "images removed"
    assert going(worker, WEEK) == []


def test_a_removal_of_images_is_recorded_in_the_audit_trail(
    worker: WorkerWithStudies, clock: FakeClock
) -> None:
    told = FakeTrail()
    worker.end("old", State.DELIVERED)
    clock.pass_s(100 * DAY_S)
    pruner = worker.pruner(RetentionLimits(delivered_s=DAY_S))
    replace(pruner, trail=StudyTrail(told, worker.ledger, worker.spool, {})).prune()
    (event,) = told.events
    assert event.event == STUDY_DELETED
    assert {thing.id for thing in event.objects} == {uid("old"), "MARKED-ID"}


def test_a_removal_can_be_ended_between_studies(
    worker: WorkerWithStudies, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("triage.pipeline.retention.AT_ONCE", 1)
    for study in ("first", "second"):
        worker.end(study, State.DELIVERED)
    clock.pass_s(8 * DAY_S)
    ends = iter([False, True, True])
    assert len(worker.pruner(WEEK).prune(lambda: next(ends))) == 1
    assert (worker.files("first"), worker.files("second")) in {(0, IMAGES), (IMAGES, 0)}
    assert worker.retention.list_marked() == []


def test_a_dry_run_removes_nothing(worker: WorkerWithStudies, clock: FakeClock) -> None:
    worker.end("old", State.DELIVERED)
    clock.pass_s(8 * DAY_S)
    assert len(worker.pruner(WEEK).plan()) == 1
    assert worker.files("old") == IMAGES
    assert worker.latest("old").pruned_at == 0


@pytest.mark.parametrize("how", ["arriving", "ready", "assessing", "assessed"])
def test_unfinished_studies_are_never_removed(
    worker: WorkerWithStudies, clock: FakeClock, how: str
) -> None:
    everything = RetentionLimits(0, 0, 0, products_s=0, free_bytes=2**62)
    if how == "assessed":
        worker.assess("study")
    else:
        worker.receive("study")
    if how in {"ready", "assessing"}:
        assert worker.ledger.move(worker.latest("study"), Event.JUDGED_COMPLETE, "quiet")
    if how == "assessing":
        assert worker.ledger.claim(uid("study"), 1, "worker:1", 1e12) is not None
    clock.pass_s(1e9)
    assert going(worker, everything) == []
    assert worker.mark("study") == []
    assert not worker.retention.remove_products(ended_long_ago(uid("study")))
    assert worker.files("study") == IMAGES


def test_a_later_revision_that_is_open_keeps_the_whole_study(
    worker: WorkerWithStudies, clock: FakeClock
) -> None:
    worker.end("study", State.DELIVERED)
    worker.receive("study", 7)
    clock.pass_s(1e9)
    assert going(worker, WEEK) == []


def test_declined_and_failed_studies_have_their_own_limits(
    worker: WorkerWithStudies, clock: FakeClock
) -> None:
    for state in (State.DELIVERED, State.DECLINED, State.FAILED):
        worker.end(state, state)
    worker.end("both", State.DECLINED)
    worker.end("both", State.DELIVERED, 7, 8)
    clock.pass_s(2 * DAY_S)
    declined = RetentionLimits(declined_s=DAY_S)
    assert going(worker, declined) == [("images", uid(State.DECLINED), AGE)]
    failed = RetentionLimits(failed_s=DAY_S)
    assert going(worker, failed) == [("images", uid(State.FAILED), AGE)]
    delivered = RetentionLimits(delivered_s=DAY_S, declined_s=DAY_S)
    assert {removal[1] for removal in going(worker, delivered)} == {
        uid(State.DELIVERED),
        uid("both"),
    }


def test_short_of_space_the_oldest_delivered_studies_are_removed(
    worker: WorkerWithStudies, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker.end("declined", State.DECLINED)
    for study in ("first", "second", "third"):
        worker.end(study, State.DELIVERED)
        clock.pass_s(60)
    size = sum(file.size for file in worker.spool.list_files(uid("first")))
    monkeypatch.setattr(type(worker.spool), "measure_free_bytes_where_kept", lambda _: 1000)
    short = RetentionLimits(free_bytes=1000 + size + 1)
    assert going(worker, short) == []  # nothing that was touched within the hour
    clock.pass_s(SETTLED_S)
    gone = [("images", uid("first"), SPACE), ("images", uid("second"), SPACE)]
    assert going(worker, short) == gone
    monkeypatch.setattr(type(worker.spool), "measure_free_bytes_where_kept", lambda _: 10_000)
    assert going(worker, short) == []


@pytest.mark.parametrize("free", [10_000, None])
def test_a_full_disk_elsewhere_removes_nothing_from_the_spool(
    worker: WorkerWithStudies, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, free: int | None
) -> None:
    """The disk of the state folder may be full while images are on another one."""
    worker.end("study", State.DELIVERED)
    clock.pass_s(2 * SETTLED_S)
    monkeypatch.setattr(type(worker.spool), "measure_free_bytes", lambda _: 0)
    monkeypatch.setattr(type(worker.spool), "measure_free_bytes_where_kept", lambda _: free)
    assert going(worker, RetentionLimits(free_bytes=5000)) == []


def test_conflicting_copies_are_removed_with_their_study(
    worker: WorkerWithStudies, clock: FakeClock
) -> None:
    worker.end("study", State.DELIVERED)
    other = part10(image("study", number=1, PatientComments="other bytes"))
    assert worker.intake.accept(other, SOURCE).outcome is ReceiptOutcome.CONFLICT
    for file in worker.spool.list_files(uid("study")):
        os.utime(worker.folder / "spool" / file.path, (clock.now(), clock.now()))
    clock.pass_s(8 * DAY_S)
    assert worker.pruner(WEEK).prune()[0].items == IMAGES + 1
    assert worker.files("study") == 0


@pytest.mark.parametrize("limits", [WEEK, RetentionLimits(free_bytes=2**62)])
def test_a_new_conflicting_copy_delays_the_removal_of_its_study(
    worker: WorkerWithStudies, clock: FakeClock, limits: RetentionLimits
) -> None:
    worker.end("study", State.DELIVERED)
    clock.pass_s(8 * DAY_S)
    other = part10(image("study", number=1, PatientComments="other bytes"))
    assert worker.intake.accept(other, SOURCE).outcome is ReceiptOutcome.CONFLICT
    for file in worker.spool.list_files(uid("study")):
        os.utime(worker.folder / "spool" / file.path, (clock.now(), clock.now()))
    assert going(worker, limits) == []
    assert worker.files("study") == IMAGES + 1
    clock.pass_s(SETTLED_S + 1)
    assert len(going(worker, limits)) == 1
    assert worker.files("study") == 0


def test_replaced_images_are_removed_with_their_study(
    worker: WorkerWithStudies, clock: FakeClock
) -> None:
    worker.end("study", State.DELIVERED)
    revising = Intake(worker.spool, worker.ledger, corrected=CorrectedStudy.REVISE)
    # An object without an image opens no revision, so the study stays ended.
    for said in ("first", "later"):
        kind = {"SOPClassUID": ComprehensiveSRStorage, "PatientComments": said}
        revising.accept(part10(image("study", "report", number=7, **kind)), SOURCE)
    for file in worker.spool.list_files(uid("study")):
        os.utime(worker.folder / "spool" / file.path, (clock.now(), clock.now()))
    clock.pass_s(8 * DAY_S)
    assert worker.pruner(WEEK).prune()[0].items == IMAGES + 2
    assert worker.files("study") == 0


def test_removed_reports_stay_known(worker: WorkerWithStudies, clock: FakeClock) -> None:
    worker.end("study", State.DELIVERED)
    clock.pass_s(8 * DAY_S)
    assert going(worker, RetentionLimits(products_s=7 * DAY_S)) == [("reports", uid("study"), AGE)]
    (product,) = worker.ledger.list_products(uid("study"), 1)
    assert (product.sop_instance_uid, product.content) == (report("study").sop_instance_uid, b"")
    assert worker.ledger.get_summary(uid("study"), 1) is None
    assert worker.files("study") == IMAGES
    assert going(worker, RetentionLimits(products_s=7 * DAY_S)) == []


def test_an_undelivered_report_is_kept_as_long_as_its_failed_study(
    worker: WorkerWithStudies, clock: FakeClock
) -> None:
    worker.end("study", State.FAILED)
    clock.pass_s(8 * DAY_S)
    assert going(worker, RetentionLimits(products_s=DAY_S)) == []
    assert going(worker, RetentionLimits(products_s=DAY_S, failed_s=9 * DAY_S)) == []
    both = RetentionLimits(products_s=DAY_S, failed_s=2 * DAY_S)
    assert [removal[0] for removal in going(worker, both)] == ["images", "reports"]


def test_a_removed_report_can_be_made_again(worker: WorkerWithStudies, clock: FakeClock) -> None:
    worker.end("study", State.FAILED)
    clock.pass_s(8 * DAY_S)
    assert worker.retention.remove_products(ended_long_ago(uid("study")))
    assert worker.ledger.move(worker.latest("study"), Event.REPLAYED, "asked for")
    claimed = worker.ledger.claim(uid("study"), 1, "worker:1", 30)
    assert claimed is not None
    product = report("study")
    (due,) = worker.ledger.finish(claimed, "worker:1", "{}", [product], [(product, "pacs")]) or ()
    delivery = worker.ledger.get_delivery(due)
    assert delivery is not None
    assert delivery.product == product


def test_refused_files_and_records_are_removed_by_age(
    worker: WorkerWithStudies, clock: FakeClock
) -> None:
    for content in (b"old", b"new"):
        with pytest.raises(DamagedInstance):
            worker.intake.accept(content, SOURCE)
    old, new = sorted(worker.spool.list_quarantined(), key=lambda each: each.size)[:2]
    os.utime(worker.folder / old.path, (clock.now(), clock.now()))
    worker.end("ended", State.DELIVERED)
    clock.pass_s(2 * DAY_S)
    worker.receive("arriving")
    os.utime(worker.folder / new.path, (clock.now(), clock.now()))
    limits = RetentionLimits(quarantine_s=DAY_S, records_s=DAY_S)
    plan = worker.pruner(limits).plan()
    assert [removal.what for removal in plan] == ["refused files", "history and incidents"]
    assert worker.pruner(limits).prune() == plan
    assert [file.path for file in worker.spool.list_quarantined()] == [new.path]
    assert not worker.ledger.history(uid("ended"))
    assert worker.ledger.history(uid("arriving"))
    assert not worker.ledger.incidents()


# -- what comes again


@pytest.fixture
def pruned(worker: WorkerWithStudies, clock: FakeClock) -> WorkerWithStudies:
    """Return a worker that has removed the images of one study."""
    worker.end("study", State.DELIVERED)
    clock.pass_s(8 * DAY_S)
    assert len(going(worker, WEEK)) == 1
    return worker


def test_a_removed_study_that_is_sent_again_is_the_next_revision(pruned: WorkerWithStudies) -> None:
    study = pruned.receive("study")
    assert (study.revision, study.state, study.instances) == (2, State.RECEIVING, IMAGES)
    assert study.reason == (
        "late instances after revision 1; its 3 instances were removed by the `retention` settings"
    )
    assert len(pruned.ledger.list_paths(uid("study"), 2)) == IMAGES
    assert pruned.ledger.count_removed_instances(uid("study")) == IMAGES
    assert pruned.files("study") == IMAGES


def test_a_later_removal_counts_from_the_later_end(
    pruned: WorkerWithStudies, clock: FakeClock
) -> None:
    pruned.end("study", State.DELIVERED)
    assert going(pruned, WEEK) == []
    clock.pass_s(8 * DAY_S)
    assert going(pruned, WEEK) == [("images", uid("study"), AGE)]
    assert pruned.files("study") == 0


def test_a_report_made_after_a_removal_is_removed_too(
    pruned: WorkerWithStudies, clock: FakeClock
) -> None:
    returned = image("study", number=9, SOPClassUID="1.2.840.10008.5.1.4.1.1.88.33", Modality="SR")
    returned.file_meta.MediaStorageSOPClassUID = returned.SOPClassUID
    del returned.PixelData
    pruned.intake.accept(part10(returned), SOURCE)
    assert pruned.latest("study").revision == 1
    assert going(pruned, WEEK) == []
    clock.pass_s(8 * DAY_S)
    assert going(pruned, WEEK) == [("images", uid("study"), AGE)]
    assert pruned.files("study") == 0


def test_a_study_without_images_is_not_replayed(
    worker: WorkerWithStudies, clock: FakeClock
) -> None:
    worker.end("study", State.FAILED)
    clock.pass_s(DAY_S)
    assert going(worker, RetentionLimits(failed_s=DAY_S))
    assert not worker.ledger.move(worker.latest("study"), Event.REPLAYED, "asked for")


def test_removed_studies_are_not_retrieved_again(pruned: WorkerWithStudies) -> None:
    archives = {"pacs": {"kind": "dicom", "ae_title": "PACS", "host": "127.0.0.1", "port": 104}}
    settings = Settings.model_validate({"state_dir": pruned.folder, "archives": archives})
    shelf = open_intake_target(settings, "pacs")
    assert shelf.count_instances(uid("study")) == IMAGES
    assert shelf.count_instances(uid("another")) == 0


def test_recovery_ignores_removed_instances(pruned: WorkerWithStudies) -> None:
    assert pruned.intake.recover() == 0
    assert [study.revision for study in pruned.ledger.list_studies()] == [1]


def test_storage_commitment_fails_for_removed_instances(
    worker: WorkerWithStudies, clock: FakeClock
) -> None:
    worker.end("study", State.DELIVERED)
    requests = SqlCommitments(worker.ledger._database, clock)
    asked = Reference("1.2.840.10008.5.1.4.1.1.4", uid("study", "series", 1))

    def answer() -> FailureReason | None:
        found = requests.find_instances([asked.sop_instance_uid])
        return find_failure(asked, found.get(asked.sop_instance_uid, ()), lambda _: True)

    assert answer() is None
    assert worker.mark("study")
    assert answer() is FailureReason.NO_SUCH_OBJECT_INSTANCE  # it goes at this moment
    clock.pass_s(8 * DAY_S)
    worker.pruner(WEEK).prune()
    assert answer() is FailureReason.NO_SUCH_OBJECT_INSTANCE


# -- what comes at this very moment


def test_a_study_accepts_no_instance_while_its_images_are_removed(
    worker: WorkerWithStudies,
) -> None:
    worker.end("study", State.DELIVERED)
    assert worker.mark("study")
    for number in (1, 99):  # known, and new
        with pytest.raises(StudyBeingRemoved, match="being removed: send"):
            worker.intake.accept(part10(image("study", number=number)), SOURCE)
    assert worker.receive("another").instances == IMAGES
    worker.pruner(RetentionLimits()).prune()
    worker.intake.catch_up()  # the new one was kept, and not promised
    worker.receive("study", 1, 99)
    assert worker.latest("study").instances == 2
    assert worker.files("study") == 2


def test_a_duplicate_removed_before_recording_is_not_acknowledged(
    worker: WorkerWithStudies, clock: FakeClock
) -> None:
    """Between spool and ledger the whole study is removed."""
    worker.end("study", State.DELIVERED)
    clock.pass_s(8 * DAY_S)
    content = part10(image("study", number=1))
    path = f"{uid('study')}/{uid('study', 'series', 1)}.dcm"
    identity = worker.spool.examine(path).identity
    receipt = worker.spool.keep(identity, content)
    assert receipt.outcome is ReceiptOutcome.DUPLICATE
    worker.pruner(WEEK).prune()
    with pytest.raises(StudyBeingRemoved):
        worker.ledger.record_instance(receipt, SOURCE)
    assert worker.intake.accept(content, SOURCE).outcome is ReceiptOutcome.NEW
    assert (worker.files("study"), worker.latest("study").instances) == (1, 1)


def test_a_study_that_grew_after_selection_is_kept(
    worker: WorkerWithStudies, clock: FakeClock
) -> None:
    worker.end("study", State.DELIVERED)
    clock.pass_s(8 * DAY_S)
    chosen = worker.retention.list_with_images()
    worker.receive("study", 7)
    assert worker.retention.mark_for_removal(chosen) == []
    assert worker.retention.remove_images(uid("study"), worker.spool.remove) == 0
    assert worker.files("study") == IMAGES + 1


def test_a_study_that_ended_again_after_selection_is_kept(
    worker: WorkerWithStudies, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run selects studies at its start and may take an hour."""
    worker.end("study", State.DELIVERED)
    clock.pass_s(8 * DAY_S)
    pruner = worker.pruner(RetentionLimits(delivered_s=7 * DAY_S, products_s=7 * DAY_S))
    chosen = [*pruner._select_studies(clock.now())], [*pruner._select_reported(clock.now())]
    worker.end("study", State.DELIVERED, 7)
    monkeypatch.setattr(RetentionRunner, "_select_studies", lambda *_: iter(chosen[0]))
    monkeypatch.setattr(RetentionRunner, "_select_reported", lambda *_: iter(chosen[1]))
    assert pruner.prune() == []
    assert worker.files("study") == IMAGES + 1
    assert all(product.content for product in worker.ledger.list_products(uid("study"), 1))


def test_two_runs_remove_a_study_once(worker: WorkerWithStudies) -> None:
    worker.end("study", State.DELIVERED)
    assert worker.mark("study")
    assert worker.retention.remove_images(uid("study"), worker.spool.remove) == IMAGES
    assert worker.retention.remove_images(uid("study"), worker.spool.remove) == 0


def test_many_files_are_removed_in_batches(
    worker: WorkerWithStudies, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("triage.store.retention.AT_ONCE", 2)
    worker.end("study", State.DELIVERED)
    assert worker.mark("study")
    parts: list[int] = []
    removed = worker.retention.remove_images(uid("study"), lambda paths: parts.append(len(paths)))
    assert (removed, parts) == (IMAGES, [2, 1])


def test_a_part_of_a_study_does_not_replace_the_report_on_the_whole(
    assessor: Assessor, tmp_path: Path, clock: FakeClock
) -> None:
    made = WorkerWithStudies(tmp_path, clock)
    try:
        made.end("study", State.DELIVERED)
        assert made.mark("study")
        made.pruner(RetentionLimits()).prune()
        assert made.ledger.move(made.receive("study", 1), Event.JUDGED_COMPLETE, "quiet")
        assessor.assess(uid("study"), 2)
        study = made.latest("study")
    finally:
        made.close()
    assert study.state is State.DECLINED
    assert study.reason.startswith("1 of 3 instances came again after retention had removed them")
