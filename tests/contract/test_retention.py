"""Contract of the retention ledger, on every kind of database."""

from collections.abc import Collection
from dataclasses import replace

import pytest

from tests.contract.ledgers import HOLDER, PRODUCT, SOURCE, assessing, current, ready, receipt
from tests.fakes import FakeClock
from triage.domain.delivery import Product
from triage.domain.errors import StudyBeingRemoved
from triage.domain.incident import IncidentKind
from triage.domain.study import Event, State, StudyRevision
from triage.ports.retention import RetentionLedger
from triage.store.database import Database
from triage.store.ledger import SqlLedger
from triage.store.retention import AT_ONCE, SqlRetention


@pytest.fixture
def ledger(database: Database, clock: FakeClock) -> SqlLedger:
    return SqlLedger(database, clock)


@pytest.fixture
def retention(database: Database, clock: FakeClock) -> RetentionLedger:
    return SqlRetention(database, clock)


def finish(ledger: SqlLedger, study: str) -> tuple[StudyRevision, int]:
    """Assess a study; return it with the id of its only delivery."""
    product: Product = replace(PRODUCT, sop_instance_uid=f"2.25.{len(study)}")
    claimed = assessing(ledger, study)
    (delivery,) = ledger.finish(claimed, HOLDER, "{}", [product], [(product, "pacs")]) or ()
    return current(ledger, claimed.study_uid), delivery


def deliver(ledger: SqlLedger, study: str = "study") -> str:
    """Assess and deliver a study; return its Study Instance UID."""
    assessed, delivery = finish(ledger, study)
    ledger.record_delivered(delivery, "0x0000 Success")
    return assessed.study_uid


def ignore(_paths: Collection[str]) -> None:
    """Remove nothing."""


def test_only_ended_studies_are_listed_oldest_first(
    retention: RetentionLedger, ledger: SqlLedger, clock: FakeClock
) -> None:
    first = deliver(ledger, "one")
    clock.pass_s(10)
    second = deliver(ledger, "three")
    finish(ledger, "its delivery is pending")
    ready(ledger, "not assessed")
    for found in (retention.list_with_images(), retention.list_with_products()):
        assert [(study.study_uid, study.since) for study in found] == [
            (first, clock.now() - 10),
            (second, clock.now()),
        ]
        assert {study.states for study in found} == {frozenset({State.DELIVERED})}


def test_a_declined_study_has_images_and_no_products(
    retention: RetentionLedger, ledger: SqlLedger
) -> None:
    claimed = assessing(ledger)
    assert ledger.move(claimed, Event.DECLINED, "not cardiac", HOLDER)
    assert [study.states for study in retention.list_with_images()] == [{State.DECLINED}]
    assert retention.list_with_products() == []


def test_a_study_that_changed_since_it_was_selected_is_not_marked(
    retention: RetentionLedger, ledger: SqlLedger, clock: FakeClock
) -> None:
    unchanged, changed = deliver(ledger, "one"), deliver(ledger, "three")
    selected = retention.list_with_images()
    clock.pass_s(10)
    ledger.record_instance(receipt("three", 99), SOURCE)
    assert retention.mark_for_removal(selected) == [unchanged]
    assert retention.list_marked() == [unchanged]
    assert changed not in {study.study_uid for study in retention.list_with_images()}


def test_a_marked_study_accepts_no_instance(retention: RetentionLedger, ledger: SqlLedger) -> None:
    deliver(ledger)
    retention.mark_for_removal(retention.list_with_images())
    with pytest.raises(StudyBeingRemoved):
        ledger.record_instance(receipt("study", 99), SOURCE)


def test_images_of_a_marked_study_are_removed_with_their_rows(
    retention: RetentionLedger, ledger: SqlLedger
) -> None:
    uid = deliver(ledger)
    paths = {*ledger.list_paths(uid, 1)}
    removed: set[str] = set()
    assert retention.remove_images(uid, removed.update) == 0  # not marked
    retention.mark_for_removal(retention.list_with_images())
    assert retention.remove_images(uid, removed.update) == len(paths)
    assert removed == paths
    assert ledger.list_known_paths() == set()
    assert (retention.list_marked(), retention.list_with_images()) == ([], [])
    assert ledger.count_removed_instances(uid) == len(paths)
    assert "images removed" in {line.event for line in ledger.history(uid)}


def test_a_failed_removal_leaves_the_study_marked(
    retention: RetentionLedger, ledger: SqlLedger
) -> None:
    uid = deliver(ledger)
    retention.mark_for_removal(retention.list_with_images())

    def fail(_paths: Collection[str]) -> None:
        raise OSError("I/O error")

    with pytest.raises(OSError, match="I/O error"):
        retention.remove_images(uid, fail)
    assert retention.list_marked() == [uid]
    assert retention.remove_images(uid, ignore) == 3


def test_many_images_are_removed_in_batches(retention: RetentionLedger, ledger: SqlLedger) -> None:
    uid = deliver(ledger)
    more = AT_ONCE
    for number in range(100, 100 + more):
        instance = receipt("study", 1)
        identity = replace(instance.identity, sop_instance_uid=f"2.25.{number}", is_image=False)
        ledger.record_instance(replace(instance, identity=identity, path=f"{number}"), SOURCE)
    retention.mark_for_removal(retention.list_with_images())
    batches: list[int] = []
    assert retention.remove_images(uid, lambda paths: batches.append(len(paths))) == 3 + more
    assert batches == [AT_ONCE, 3]


def test_instances_after_the_removal_open_a_new_revision(
    retention: RetentionLedger, ledger: SqlLedger
) -> None:
    uid = deliver(ledger)
    retention.mark_for_removal(retention.list_with_images())
    retention.remove_images(uid, ignore)
    revision = ledger.record_instance(receipt("study", 99), SOURCE)
    assert (revision.revision, revision.instances, revision.pruned_at) == (2, 1, 0.0)
    assert not ledger.move(ledger.list_studies()[0], Event.REPLAYED, "asked for")


def test_removed_products_keep_their_uids(retention: RetentionLedger, ledger: SqlLedger) -> None:
    uid = deliver(ledger)
    (ended,) = retention.list_with_products()
    assert retention.count_product_bytes(uid) == len(PRODUCT.content)
    assert retention.remove_products(ended)
    assert (retention.count_product_bytes(uid), retention.list_with_products()) == (0, [])
    assert [product.content for product in ledger.list_products(uid, 1)] == [b""]
    assert ledger.get_summary(uid, 1) is None


def test_a_removed_product_that_is_made_again_keeps_its_time(
    retention: RetentionLedger, ledger: SqlLedger, clock: FakeClock
) -> None:
    assessed, delivery = finish(ledger, "study")
    ledger.record_failure(delivery, "no answer", None)
    (before,) = ledger.list_products(assessed.study_uid, 1)
    (ended,) = retention.list_with_products()
    assert retention.remove_products(ended)
    clock.pass_s(60)
    assert ledger.move(current(ledger, assessed.study_uid), Event.REPLAYED, "asked for")
    again = ledger.claim(assessed.study_uid, 1, HOLDER, 30)
    assert again is not None
    assert ledger.finish(again, HOLDER, "{}", [before], [(before, "pacs")]) == [delivery]
    (after,) = ledger.list_products(assessed.study_uid, 1)
    assert (after.content, after.made_at) == (before.content, before.made_at)


def test_products_of_a_study_that_changed_are_not_removed(
    retention: RetentionLedger, ledger: SqlLedger, clock: FakeClock
) -> None:
    uid = deliver(ledger)
    (ended,) = retention.list_with_products()
    clock.pass_s(10)
    ledger.record_instance(receipt("study", 99), SOURCE)
    assert not retention.remove_products(ended)
    assert retention.count_product_bytes(uid) == len(PRODUCT.content)


def test_old_records_of_ended_studies_are_removed(
    retention: RetentionLedger, ledger: SqlLedger, clock: FakeClock
) -> None:
    ended, active = deliver(ledger), ready(ledger, "not assessed").study_uid
    ledger.report_incident(IncidentKind.REFUSED_INSTANCE, "why", SOURCE)
    lines = len(ledger.history(ended))
    assert retention.count_records(clock.now()) == 0
    clock.pass_s(10)
    assert retention.count_records(clock.now()) == lines + 1
    assert retention.remove_records(clock.now()) == lines + 1
    assert (ledger.history(ended), ledger.incidents()) == ([], [])
    assert ledger.history(active)
    retention.shred()
