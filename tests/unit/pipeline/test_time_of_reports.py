"""When reports were made: from the clock of the worker, once for each product."""

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from io import BytesIO

import pytest
from pydicom import Dataset, dcmread

from tests.builders.images import cardiac_study, image, part10, uid
from tests.contract.ledgers import SOURCE, current
from tests.fakes import FakeClock
from triage.domain.delivery import HL7, DeliveryState, Product
from triage.domain.study import Event
from triage.pipeline.assess import Assessor
from triage.pipeline.intake import Intake
from triage.reports import REPORTS
from triage.runtime.clock import LocalZone, SystemClock
from triage.store.database import Database
from triage.store.ledger import SqlLedger
from triage.store.retention import SqlRetention

STUDY = uid("study")
NOW = 1_793_781_015.0  # 2026-11-04 08:30:15 UTC
DAY_S = 86_400
ZONE = timezone(timedelta(hours=1))


@pytest.fixture
def worker(assessor: Assessor, clock: FakeClock) -> Assessor:
    """A worker that makes every report, for two destinations that take every one."""
    clock.at = NOW
    every = {report.media_type for report in REPORTS.values()}
    names = dict.fromkeys(("pacs", "archive"), every)
    return replace(assessor, reports=tuple(REPORTS), destinations=names, zone=ZONE)


def receive(worker: Assessor, ledger: SqlLedger, datasets: list[Dataset]) -> int:
    """Receive instances and judge the study complete; return its revision."""
    for dataset in datasets:
        Intake(worker.spool, ledger).accept(part10(dataset), SOURCE)
    study = current(ledger, STUDY)
    assert ledger.move(study, Event.JUDGED_COMPLETE, "quiet")
    return study.revision


def read(product: Product) -> Dataset:
    return dcmread(BytesIO(product.content))


def contents(ledger: SqlLedger) -> dict[str, bytes]:
    products = ledger.list_products(STUDY, 9)
    return {product.sop_instance_uid: product.content for product in products}


def message_time(ledger: SqlLedger) -> str:
    (message,) = (p for p in ledger.list_products(STUDY, 1) if p.media_type == HL7)
    return message.content.decode().split("|")[6]


def test_reports_state_the_time_of_the_worker_and_the_ledger_keeps_it(
    worker: Assessor, ledger: SqlLedger
) -> None:
    worker.assess(STUDY, receive(worker, ledger, cardiac_study()))
    products = ledger.list_products(STUDY, 1)
    assert {product.made_at for product in products} == {NOW}
    times = {read(p).ContentDate + read(p).ContentTime for p in products if p.sop_class_uid}
    assert times == {"20261104093015.000000"}
    assert message_time(ledger) == "20261104093015+0100"


def test_a_message_is_not_older_than_the_assessment(worker: Assessor, ledger: SqlLedger) -> None:
    today = replace(worker, clock=SystemClock(), zone=LocalZone())
    began = int(SystemClock().now())
    today.assess(STUDY, receive(today, ledger, cardiac_study()))
    stated = datetime.strptime(message_time(ledger), "%Y%m%d%H%M%S%z")
    assert began <= stated.timestamp() <= SystemClock().now()


def test_two_deliveries_of_one_revision_have_the_same_bytes(
    worker: Assessor, ledger: SqlLedger
) -> None:
    worker.assess(STUDY, receive(worker, ledger, cardiac_study()))
    sent = [
        [d.product.content for d in ledger.list_deliveries(STUDY, 1) if d.destination == name]
        for name in worker.destinations
    ]
    assert sent[0] == sent[1]
    assert len(sent[0]) >= len(REPORTS) - 1  # key images need a flag


def test_a_later_revision_is_later(worker: Assessor, ledger: SqlLedger, clock: FakeClock) -> None:
    worker.assess(STUDY, receive(worker, ledger, cardiac_study()))
    clock.pass_s(DAY_S)
    late = image("study", "localizer", number=99)
    worker.assess(STUDY, receive(worker, ledger, [late]))
    first = ledger.list_products(STUDY, 1)
    later = [product for product in ledger.list_products(STUDY, 2) if product not in first]
    assert {product.kind for product in later} == {product.kind for product in first}
    assert {product.made_at for product in first} == {NOW}
    assert {product.made_at for product in later} == {NOW + DAY_S}
    days = [read(p).ContentDate for p in ledger.list_products(STUDY, 2) if p.kind == "pdf"]
    assert days == ["20261104", "20261105"]


def test_a_replay_after_days_without_a_report_has_the_time_of_the_replay(
    worker: Assessor, ledger: SqlLedger, clock: FakeClock
) -> None:
    revision = receive(worker, ledger, cardiac_study())
    claimed = ledger.claim(STUDY, revision, "worker:1", 30)
    assert claimed is not None
    assert ledger.move(claimed, Event.SET_ASIDE, "it failed", "worker:1")
    clock.pass_s(DAY_S)
    assert ledger.move(current(ledger, STUDY), Event.REPLAYED, "asked for")
    worker.assess(STUDY, revision)
    assert message_time(ledger) == "20261105093015+0100"


def test_a_report_made_again_after_its_removal_has_the_same_bytes(
    worker: Assessor, ledger: SqlLedger, clock: FakeClock
) -> None:
    worker.assess(STUDY, receive(worker, ledger, cardiac_study()))
    before = contents(ledger)
    for delivery in ledger.list_deliveries(STUDY, 1):
        ledger.record_failure(delivery.id, "no answer", None)
    clock.pass_s(40 * DAY_S)
    remove_reports(ledger, clock)
    assert set(contents(ledger).values()) == {b""}
    assert ledger.move(current(ledger, STUDY), Event.REPLAYED, "asked for")
    worker.assess(STUDY, 1)
    assert contents(ledger) == before
    states = {delivery.state for delivery in ledger.list_deliveries(STUDY, 1)}
    assert states == {DeliveryState.PENDING}


def remove_reports(ledger: SqlLedger, clock: FakeClock) -> None:
    database: Database = ledger._database
    retention = SqlRetention(database, clock)
    (ended,) = retention.list_with_products()
    assert retention.remove_products(ended)
