"""Reports that are sent again at the request of an operator, and studies assessed again."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from tests.builders.ended import WorkerWithStudies, ended_long_ago, worker
from tests.builders.images import uid
from tests.contract.ledgers import HOLDER, PRODUCT, SOURCE, assessed, current, receipt
from tests.fakes import FakeClock, FakeDestination
from triage.domain.delivery import HL7, DeliveryState, Product, ReportedRevision
from triage.domain.errors import CommandFailed, NotFound
from triage.domain.retention import RetentionLimits
from triage.domain.study import Event, State
from triage.pipeline.deliver import Deliverer
from triage.pipeline.replay import reassess_study, resend_study
from triage.store.database import Database
from triage.store.ledger import SqlLedger
from triage.store.resending import SqlResending

NAMES = ("pacs", "ris")


@pytest.fixture
def ledger(database_url: str, clock: FakeClock) -> Iterator[SqlLedger]:
    opened = SqlLedger(Database(database_url), clock)
    yield opened
    opened.close()


@pytest.fixture
def resending(ledger: SqlLedger, database_url: str, clock: FakeClock) -> Iterator[SqlResending]:
    assert ledger.list_known_paths() == set()
    opened = SqlResending(Database(database_url), clock)
    yield opened
    opened.close()


def deliver(ledger: SqlLedger, ids: Sequence[int], *names: str) -> dict[str, list[Product]]:
    """Make every delivery that is due; return what each destination received."""
    destinations = {name: FakeDestination(name) for name in names}
    deliverer = Deliverer(ledger, destinations, max_attempts=3)
    for delivery in ids:
        deliverer.deliver(delivery)
    return {name: destination.received for name, destination in destinations.items()}


def states(ledger: SqlLedger, ids: Sequence[int]) -> list[DeliveryState]:
    found = [ledger.get_delivery(delivery) for delivery in ids]
    return [delivery.state for delivery in found if delivery is not None]


def test_delivered_reports_are_sent_again_as_the_same_bytes(
    ledger: SqlLedger, resending: SqlResending
) -> None:
    study, ids = assessed(ledger, *NAMES)
    assert deliver(ledger, ids, *NAMES) == {"pacs": [PRODUCT], "ris": [PRODUCT]}
    assert current(ledger, study.study_uid).state is State.DELIVERED
    assert resend_study(resending, NAMES, study.study_uid) == 2
    assert current(ledger, study.study_uid).state is State.ASSESSED
    assert ledger.list_unsent_deliveries(None) == ids
    assert deliver(ledger, ids, *NAMES) == {"pacs": [PRODUCT], "ris": [PRODUCT]}
    assert current(ledger, study.study_uid).state is State.DELIVERED
    (again,) = [e for e in ledger.history(study.study_uid) if e.event == Event.RESENT]
    assert "2 delivery(ies) to pacs, ris are sent again" in again.reason


def test_one_destination_alone_gets_it_again(ledger: SqlLedger, resending: SqlResending) -> None:
    study, ids = assessed(ledger, *NAMES)
    deliver(ledger, ids, *NAMES)
    assert resend_study(resending, NAMES, study.study_uid, "ris") == 1
    assert states(ledger, ids) == [DeliveryState.DELIVERED, DeliveryState.PENDING]
    assert deliver(ledger, ids, *NAMES) == {"pacs": [], "ris": [PRODUCT]}


def test_a_superseded_message_is_not_sent_again(ledger: SqlLedger, resending: SqlResending) -> None:
    study, ids = assessed(ledger)
    ledger.record_failure(ids[0], "no", None)
    failed = current(ledger, study.study_uid)
    assert ledger.move(failed, Event.REPLAYED, "asked for")
    claimed = ledger.claim(study.study_uid, 1, HOLDER, 30)
    assert claimed is not None
    other = replace(PRODUCT, sop_instance_uid="2.25.2", media_type=HL7, sop_class_uid="")
    due = ledger.finish(claimed, HOLDER, "{}", [other], [(other, "pacs")])
    assert due is not None
    deliver(ledger, due, "pacs")
    assert resend_study(resending, NAMES, study.study_uid) == 1
    assert states(ledger, [*ids, *due]) == [DeliveryState.SUPERSEDED, DeliveryState.PENDING]


def test_what_cannot_be_sent_again_is_an_error(ledger: SqlLedger, resending: SqlResending) -> None:
    study, _ = assessed(ledger, "pacs")
    with pytest.raises(NotFound, match="has no pax; it has pacs, ris"):
        resend_study(resending, NAMES, study.study_uid, "pax")
    with pytest.raises(NotFound, match="was ever due to ris"):
        resend_study(resending, NAMES, study.study_uid, "ris")
    with pytest.raises(NotFound, match="no report of 1.2.3 was ever due"):
        resend_study(resending, NAMES, "1.2.3")


def stored(reported: ReportedRevision, destination: str) -> list[Product]:
    assert destination == "ris"
    return [product for product in reported.products if product.content]


def test_a_destination_that_was_added_later_gets_the_same_bytes(
    ledger: SqlLedger, resending: SqlResending
) -> None:
    study, ids = assessed(ledger, "pacs")
    deliver(ledger, ids, "pacs")
    assert resend_study(resending, NAMES, study.study_uid, "ris", stored) == 1
    assert current(ledger, study.study_uid).state is State.ASSESSED
    (due,) = ledger.list_unsent_deliveries(None)
    assert deliver(ledger, [due], *NAMES) == {"pacs": [], "ris": [PRODUCT]}
    assert current(ledger, study.study_uid).state is State.DELIVERED
    assert resend_study(resending, NAMES, study.study_uid, "ris", stored) == 1  # as any other
    assert ledger.list_unsent_deliveries(None) == [due]


def test_a_message_that_was_not_made_before_is_stored_and_sent_to_the_new_destination_alone(
    ledger: SqlLedger, resending: SqlResending
) -> None:
    study, ids = assessed(ledger, "pacs")
    deliver(ledger, ids, "pacs")
    message = Product("hl7", "", "2.25.9", b"MSH|", HL7)
    sent = resend_study(resending, NAMES, study.study_uid, "ris", lambda *_: [message])
    assert sent == 1
    due = ledger.list_unsent_deliveries(None)
    assert deliver(ledger, due, *NAMES) == {"pacs": [], "ris": [message]}
    assert message in ledger.list_products(study.study_uid, 1)


def test_a_new_destination_gets_no_report_that_another_replaced(
    ledger: SqlLedger, resending: SqlResending, clock: FakeClock
) -> None:
    study, ids = assessed(ledger, "pacs")
    ledger.record_failure(ids[0], "no", None)
    assert ledger.move(current(ledger, study.study_uid), Event.REPLAYED, "asked for")
    claimed = ledger.claim(study.study_uid, 1, HOLDER, 30)
    assert claimed is not None
    clock.pass_s(1)
    other = replace(PRODUCT, sop_instance_uid="2.25.2")
    older = replace(other, sop_instance_uid="2.25.3", alternative_to="2.25.2")
    due = ledger.finish(claimed, HOLDER, "{}", [other, older], [(other, "pacs")])
    assert due is not None
    deliver(ledger, due, "pacs")
    reported = resending.find_reported(study.study_uid)
    assert reported == ReportedRevision(study.study_uid, 1, (other,))


def test_nothing_is_opened_without_a_report_or_while_the_study_is_assessed(
    ledger: SqlLedger, resending: SqlResending
) -> None:
    study, ids = assessed(ledger, "pacs")
    with pytest.raises(CommandFailed, match="in a form that ris takes"):
        resend_study(resending, NAMES, study.study_uid, "ris", lambda *_: [])
    with pytest.raises(NotFound, match="no report of 1.2.3 was ever due to ris"):
        resend_study(resending, NAMES, "1.2.3", "ris", stored)
    ledger.record_failure(ids[0], "no", None)
    assert ledger.move(current(ledger, study.study_uid), Event.REPLAYED, "asked for")
    with pytest.raises(CommandFailed, match="is being assessed: its reports will go to ris"):
        resend_study(resending, NAMES, study.study_uid, "ris", stored)
    assert ledger.list_unsent_deliveries(None) == []


def test_during_an_outage_the_waiting_deliveries_are_tried_now(
    ledger: SqlLedger, resending: SqlResending
) -> None:
    _, (probe, waiting) = assessed(ledger, "pacs", "ris")
    silent = {"pacs": FakeDestination("pacs", refusal="no answer", silent=True)}
    Deliverer(ledger, silent, max_attempts=300).deliver(probe)
    assert ledger.list_unsent_deliveries(None) == [waiting]
    (outage,) = ledger.list_outages()
    assert resending.hasten("pacs") == 1
    assert ledger.list_unsent_deliveries(None) == [probe, waiting]
    (still,) = ledger.list_outages()
    assert (still.since, still.waiting) == (outage.since, 1)
    assert deliver(ledger, [probe], "pacs") == {"pacs": [PRODUCT]}
    assert ledger.list_outages() == []


def test_a_delivery_that_is_under_way_is_not_hastened(
    ledger: SqlLedger, resending: SqlResending
) -> None:
    _, (delivery,) = assessed(ledger)
    assert ledger.claim_delivery(delivery, 30) is not None
    assert resending.hasten("pacs") == 0


@pytest.mark.parametrize("state", [State.DELIVERED, State.FAILED, State.DECLINED])
def test_an_ended_study_is_assessed_again_as_a_new_revision(tmp_path: Path, state: State) -> None:
    site = worker(tmp_path)
    site.end("study", state)
    before = site.latest("study")
    assert reassess_study(site.ledger, uid("study")) == 2
    again = site.latest("study")
    assert (again.revision, again.state, again.instances) == (2, State.READY, before.instances)
    paths = [site.ledger.list_paths(uid("study"), revision) for revision in (1, 2)]
    assert paths[0] == paths[1]
    assert len(paths[1]) == before.instances
    assert site.ledger.list_unsent_studies(None) == [again]
    assert site.ledger.get_study(uid("study"), 1) == before
    event = site.ledger.history(uid("study"))[-1]
    assert (event.revision, event.state) == (2, State.READY)
    assert "revision 1 is assessed again" in event.reason
    site.close()


def test_a_late_image_joins_the_revision_that_waits_to_be_assessed_again(tmp_path: Path) -> None:
    site = worker(tmp_path)
    site.end("study", State.DELIVERED)
    reassess_study(site.ledger, uid("study"))
    joined = site.receive("study", 9)
    assert (joined.revision, joined.state, joined.instances) == (2, State.RECEIVING, 4)
    site.close()


def remove_images(site: WorkerWithStudies) -> None:
    """Have retention remove the images and the reports of the study."""
    site.end("study", State.DELIVERED)
    assert isinstance(site.clock, FakeClock)
    site.clock.pass_s(100 * 86_400)
    site.pruner(RetentionLimits(delivered_s=86_400, products_s=86_400)).prune()


def test_removed_images_and_reports_are_an_error_with_a_remedy(tmp_path: Path) -> None:
    site = worker(tmp_path)
    remove_images(site)
    with pytest.raises(CommandFailed, match="images of .* were removed"):
        reassess_study(site.ledger, uid("study"))
    resending = SqlResending(site.ledger._database, site.clock)
    with pytest.raises(CommandFailed, match="reports of .* were removed"):
        resend_study(resending, ["pacs"], uid("study"))
    site.close()


def test_a_study_that_waits_or_is_unknown_is_an_error(ledger: SqlLedger) -> None:
    study = ledger.record_instance(receipt(), SOURCE)
    with pytest.raises(CommandFailed, match="is RECEIVING: it will be assessed"):
        reassess_study(ledger, study.study_uid)
    with pytest.raises(NotFound, match="has no study"):
        reassess_study(ledger, "1.2.3")


def test_a_revision_that_changed_meanwhile_is_not_followed(
    ledger: SqlLedger, clock: FakeClock
) -> None:
    study, ids = assessed(ledger)
    deliver(ledger, ids, "pacs")
    ended = current(ledger, study.study_uid)
    clock.pass_s(1)
    assert ledger.record_instance(receipt(number=9), SOURCE).revision == 2
    assert not ledger.open_next_revision(ended, "why")
    assert current(ledger, study.study_uid).revision == 2


def test_images_that_are_being_removed_are_not_assessed_again(tmp_path: Path) -> None:
    site = worker(tmp_path)
    site.end("study", State.DELIVERED)
    site.retention.mark_for_removal([ended_long_ago(uid("study"))])
    assert not site.ledger.open_next_revision(site.latest("study"), "why")
    site.close()
