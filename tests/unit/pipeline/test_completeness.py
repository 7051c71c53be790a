"""Collection of evidence about arriving studies."""

from concurrent.futures import Executor, Future
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.builders.evidence_collectors import build_collector
from tests.builders.images import SliceGeometry as Place
from tests.builders.images import cine, image, part10
from tests.contract.ledgers import SOURCE, current, received
from tests.fakes import FakeClock
from triage.domain.announcement import AnnouncedStudy, Stage
from triage.domain.completeness import (
    ArchiveCount,
    CompletenessPolicy,
    Evidence,
    EvidenceKind,
    StackCount,
    ViewCount,
    find_completion,
)
from triage.domain.errors import DeliveryFailed
from triage.domain.instance import Source
from triage.domain.reasons import Reason
from triage.domain.study import StudyRevision
from triage.pipeline.intake import Intake
from triage.pipeline.open_associations import OpenAssociations
from triage.store.announcements import SqlAnnouncements
from triage.store.ledger import SqlLedger
from triage.store.spool import FileSpool

POLICY = CompletenessPolicy(
    quiet_s=16, settle_s=3, limit_s=600, accepted_evidence=frozenset(EvidenceKind)
)

AWAY = DeliveryFailed("the PACS is away")


class Asked:
    """A query that counts its calls."""

    def __init__(self, answer: ViewCount | ArchiveCount | Exception) -> None:
        self.answer = answer
        self.times = 0

    def __call__(self, _: StudyRevision) -> ViewCount | ArchiveCount:
        self.times += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def test_an_archive_is_queried_after_settling_and_once_in_half_the_quiet_time(
    ledger: SqlLedger, clock: FakeClock
) -> None:
    pacs = Asked(ArchiveCount(5, "PACS"))
    collector = build_collector(ledger, POLICY, {EvidenceKind.COUNT: pacs})
    study = received(ledger)
    for second in range(17):
        known = collector.collect(study, POLICY, clock.now())
        assert (known.count is None) == (second < 3)
        clock.pass_s(1)
    assert pacs.times == 2  # after 3 and 11 seconds


def test_an_answer_is_void_after_another_instance(ledger: SqlLedger, clock: FakeClock) -> None:
    collector = build_collector(
        ledger, POLICY, {EvidenceKind.COUNT: Asked(ArchiveCount(3, "PACS"))}
    )
    study = received(ledger)
    clock.pass_s(3)
    assert collector.collect(study, POLICY, clock.now()).count == ArchiveCount(3, "PACS")
    grown = replace(study, last_instance_at=clock.now(), instances=4)
    assert collector.collect(grown, POLICY, clock.now()).count is None


@pytest.mark.parametrize("error", [AWAY, ValueError("nonsense")])
def test_a_failed_query_is_no_evidence(
    ledger: SqlLedger, clock: FakeClock, error: Exception
) -> None:
    pacs = Asked(error)
    collector = build_collector(ledger, POLICY, {EvidenceKind.COUNT: pacs})
    study = received(ledger)
    clock.pass_s(3)
    for _ in range(5):
        assert collector.collect(study, POLICY, clock.now()).count is None
    assert pacs.times == 1


class Never(Executor):
    """An executor that never finishes a task."""

    def submit(self, *_: Any, **__: Any) -> Future[Any]:
        return Future()


def test_a_running_query_blocks_nothing_and_is_not_repeated(
    ledger: SqlLedger, clock: FakeClock
) -> None:
    collector = build_collector(ledger, POLICY, {EvidenceKind.COUNT: Asked(AWAY)}, executor=Never())
    study = received(ledger)
    for _ in range(40):
        clock.pass_s(1)
        assert collector.collect(study, POLICY, clock.now()).count is None
    assert len(collector._pending) == 1
    collector.forget_except([])
    assert not collector._pending


def test_views_are_counted_once_and_only_if_the_stacks_are_full(
    ledger: SqlLedger, clock: FakeClock, tmp_path: Any
) -> None:
    look = Asked(ViewCount(3, 0))
    collector = build_collector(
        ledger, POLICY, {EvidenceKind.VIEWS: look, EvidenceKind.COUNT: Asked(AWAY)}
    )
    intake = Intake(FileSpool(tmp_path), ledger)
    phases = cine("study", "cine", Place(), 12, CardiacNumberOfImages=12)
    for dataset in phases[:-1]:
        intake.accept(part10(dataset), SOURCE)
    clock.pass_s(4)
    (study,) = ledger.list_studies()
    assert collector.collect(study, POLICY, clock.now()).views is None
    assert look.times == 0
    intake.accept(part10(phases[-1]), SOURCE)
    clock.pass_s(4)
    for _ in range(9):
        (study,) = ledger.list_studies()
        known = collector.collect(study, POLICY, clock.now())
        clock.pass_s(1)
    assert known.stacks == [StackCount(12, 12)]
    assert (known.views, look.times) == (ViewCount(3, 0), 1)


def test_the_policy_of_a_source_applies_to_its_studies(ledger: SqlLedger) -> None:
    slow = CompletenessPolicy(quiet_s=60)
    collector = build_collector(ledger, POLICY, policies_by_source={"PACS": slow})
    study = received(ledger)
    assert collector.select_policy(study) == slow
    assert (
        build_collector(ledger, POLICY, policies_by_source={"MR": slow}).select_policy(study)
        == POLICY
    )


def test_an_association_sends_a_study_until_it_ends_or_sends_another() -> None:
    associations = OpenAssociations()
    associations.open(1)
    associations.open(2)
    associations.note_instance(1, "a")
    associations.note_instance(2, "a")
    assert associations.count_sending("a") == 2
    associations.note_instance(2, "b")
    assert (associations.count_sending("a"), associations.count_sending("b")) == (1, 1)
    associations.close(1)
    associations.note_instance(1, "a")  # its last instance was still being kept when it broke
    associations.close(1)
    assert associations.count_sending("a") == 0


STUDY = [
    part10(image)
    for place in range(2)
    for image in cine(
        "study", f"cine {place}", Place(position=(0, 0, place)), 3, CardiacNumberOfImages=3
    )
]


def decided(folder: Any, order: list[int], parts: list[int]) -> tuple[Reason | None, Evidence]:
    """Return the decision for instances in this order over several associations."""
    clock = FakeClock()
    ledger = SqlLedger.in_folder(folder, clock)
    try:
        intake = Intake(FileSpool(folder), ledger)
        for number, part in zip(order, parts, strict=True):
            intake.accept(STUDY[number], Source(f"PACS{part}", "127.0.0.1"))
        collector = build_collector(
            ledger,
            POLICY,
            {EvidenceKind.VIEWS: Asked(ViewCount(1, 0)), EvidenceKind.COUNT: Asked(AWAY)},
        )
        study = current(ledger, ledger.list_studies()[0].study_uid)
        clock.pass_s(3)
        known = collector.collect(study, collector.select_policy(study), clock.now())
        return find_completion(study, clock.now(), POLICY, known), known
    finally:
        ledger.close()


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_order_duplicates_and_splits_change_no_decision(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    twice = data.draw(st.lists(st.sampled_from(range(len(STUDY))), max_size=4))
    order = data.draw(st.permutations([*range(len(STUDY)), *twice]))
    parts = data.draw(st.lists(st.integers(0, 2), min_size=len(order), max_size=len(order)))
    why, known = decided(tmp_path_factory.mktemp("state"), order, parts)
    assert str(why) == "all 1 views are there and all 2 cine stacks are full, after 6 instances"
    assert sorted(stack.images for stack in known.stacks) == [3, 3]


def test_an_instance_with_an_invalid_image_count_is_stored(
    ledger: SqlLedger, tmp_path: Any
) -> None:
    intake = Intake(FileSpool(tmp_path), ledger)
    odd = part10(image(CardiacNumberOfImages=12)).replace(b"IS\x02\x0012", b"IS\x02\x00xx")
    intake.accept(odd, SOURCE)
    intake.accept(part10(image(number=2, ImagePositionPatient=None)), SOURCE)
    (study,) = ledger.list_studies()
    assert study.instances == 2
    assert not ledger.list_stacks(study.study_uid, 1)


def test_announcements_are_evidence_only_if_the_policy_accepts_them(
    ledger: SqlLedger, clock: FakeClock, tmp_path: Any
) -> None:
    announcements = SqlAnnouncements(SqlLedger.database_in(tmp_path), clock)
    study = received(ledger)
    announcements.add("1.1", study.study_uid, Stage.COMPLETED, ["1.9"])
    collector = replace(build_collector(ledger, POLICY), announcements=announcements)
    counts = replace(POLICY, accepted_evidence=frozenset({EvidenceKind.ANNOUNCED}))
    assert collector.collect(study, counts, clock.now()).announced is None  # it grows
    clock.pass_s(POLICY.settle_s)
    assert collector.collect(study, counts, clock.now()).announced == AnnouncedStudy(1, 0)
    without = replace(POLICY, accepted_evidence=frozenset())
    assert collector.collect(study, without, clock.now()).announced is None
    announcements.close()
