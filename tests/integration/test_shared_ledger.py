"""One ledger for many processes, with a restarting server: nothing is lost or done twice."""

import multiprocessing
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import product
from multiprocessing.synchronize import Barrier
from typing import TypeVar

import pytest
from sqlalchemy import Connection, update

from tests.contract import ledgers
from tests.contract.ledgers import (
    HOLDER,
    MR,
    SOURCE,
    assessed,
    assessing,
    numbered_receipt,
    received,
)
from tests.fakes import FakeClock
from tests.integration.postgres import Postgres, postgres
from tests.waiting import wait_until
from triage.domain.delivery import HL7, LONGEST_WAIT_S, DeliveryState, Product, plan_routes
from triage.domain.errors import LedgerUnavailable
from triage.domain.incident import IncidentKind
from triage.domain.study import ENDED, Event, State, StudyRevision
from triage.runtime.clock import SystemClock
from triage.store import database as database_module
from triage.store.database import Database, retry_on_conflict
from triage.store.ledger import SqlLedger
from triage.store.ledger_statements.deliveries import end_delivery, open_delivery, store_product
from triage.store.ledger_statements.incidents import count_incident
from triage.store.ledger_statements.instances import record_instance
from triage.store.ledger_statements.studies import find_study
from triage.store.schema import studies

T = TypeVar("T")
PROCESSES = 4
STUDIES = [f"2.25.{number}" for number in range(1, 6)]
INSTANCES = 16  #: per study
DESTINATIONS = {"pacs": ["application/dicom"], "archive": ["application/dicom"]}
AT_MOST_S = 120.0
LEASE_S = LONGEST_WAIT_S  #: longer than the whole test
AT = FakeClock().now()


def products_of(study: StudyRevision) -> list[Product]:
    uid = f"{study.study_uid}.9.{study.revision}"
    return [Product("report", MR, f"{uid}.{number}", b"r") for number in range(2)]


@dataclass
class Done:
    """The work that one process was granted."""

    judged: list[tuple[str, int]] = field(default_factory=list)
    claimed: list[tuple[str, int]] = field(default_factory=list)
    finished: list[tuple[str, int]] = field(default_factory=list)
    sent: list[int] = field(default_factory=list)


class Hand:
    """A process that receives, assesses and delivers."""

    def __init__(self, url: str, number: int) -> None:
        self.ledger = SqlLedger(Database(url), SystemClock())
        self.holder = f"hand:{number}"
        self.order = random.Random(number)
        self.done = Done()

    def receive(self) -> None:
        """Record every instance of every study, two at a time, in the same order everywhere."""
        arrivals = list(product(STUDIES, range(INSTANCES)))
        random.Random(0).shuffle(arrivals)
        with ThreadPoolExecutor(2) as pool:
            list(
                pool.map(
                    lambda key: self.ledger.record_instance(numbered_receipt(*key), SOURCE),
                    arrivals,
                )
            )

    def judge(self) -> None:
        for study in self.ledger.list_studies(State.RECEIVING):
            if self.ledger.move(study, Event.JUDGED_COMPLETE, "why not"):
                self.done.judged.append((study.study_uid, study.revision))

    def enqueue_assessment(self) -> None:
        for study in self.ledger.list_unsent_studies(None):
            key = study.study_uid, study.revision
            taken = self.ledger.claim(*key, self.holder, LEASE_S)
            if taken is None:
                continue
            self.done.claimed.append(key)
            made = products_of(taken)
            if self.ledger.finish(taken, self.holder, "{}", made, plan_routes(made, DESTINATIONS)):
                self.done.finished.append(key)

    def enqueue_delivery(self) -> None:
        for delivery_id in self.ledger.list_unsent_deliveries(None):
            if self.ledger.claim_delivery(delivery_id, LEASE_S) is not None:
                self.done.sent.append(delivery_id)
                self.ledger.record_delivered(delivery_id, "0x0000 Success")

    def work(self) -> Done:
        """Run all roles concurrently until every study has ended."""
        receiving = threading.Thread(target=self.receive)
        receiving.start()
        until = time.monotonic() + AT_MOST_S
        while receiving.is_alive() or not self._all_ended():
            assert time.monotonic() < until, [vars(study) for study in self.ledger.list_studies()]
            for act in self.order.sample(
                [self.judge, self.enqueue_assessment, self.enqueue_delivery], 3
            ):
                act()
        receiving.join()
        self.ledger.close()
        return self.done

    def _all_ended(self) -> bool:
        found = self.ledger.list_studies()
        whole = {study.study_uid for study in found if study.instances == INSTANCES}
        return whole == {*STUDIES} and all(study.state in ENDED for study in found)


def wait_for_all(gate: Barrier) -> None:
    gate.wait(AT_MOST_S)


def work(url: str, number: int) -> Done:
    return Hand(url, number).work()


def test_concurrent_processes_do_everything_once_and_lose_nothing(
    database_url: str,
) -> None:
    spawn = multiprocessing.get_context("spawn")
    gate = spawn.Barrier(PROCESSES)
    Database(database_url).close()
    with ProcessPoolExecutor(PROCESSES, spawn, wait_for_all, (gate,)) as pool:
        did = list(pool.map(work, [database_url] * PROCESSES, range(PROCESSES)))
    ledger = SqlLedger(Database(database_url), SystemClock())
    found = ledger.list_studies()
    revisions = Counter((study.study_uid, study.revision) for study in found)
    assert {study.state for study in found} == {State.DELIVERED}
    assert {study.attempts for study in found} == {1}
    claimed = Counter(key for process in did for key in process.claimed)
    finished = Counter(key for process in did for key in process.finished)
    assert claimed == finished == revisions
    assert (
        sum(len(process.judged) > 0 for process in did) > 1
    )  # else the processes did not run concurrently
    paths = {f"{study}/{number}.dcm" for study, number in product(STUDIES, range(INSTANCES))}
    assert ledger.list_known_paths() == paths
    for study in STUDIES:
        last = max(known.revision for known in found if known.study_uid == study)
        assert [len(ledger.list_paths(study, last)), last] == [
            INSTANCES,
            sum(uid == study for uid, _ in revisions),
        ]
        events = Counter(line.event for line in ledger.history(study))
        assert events[Event.CLAIMED] == events[Event.ASSESSED] == events[Event.ACKNOWLEDGED] == last
    sent = Counter(delivery_id for one in did for delivery_id in one.sent)
    assert sent == Counter(
        delivery.id
        for study in found
        for delivery in ledger.list_deliveries(study.study_uid, study.revision)
    )
    assert len(sent) == 2 * len(DESTINATIONS) * len(found)
    ledger.close()


@pytest.fixture
def shared(server: Postgres, clock: FakeClock) -> Iterator[SqlLedger]:
    ledger = SqlLedger(Database(server.new_database()), clock)
    yield ledger
    ledger.close()


def overtaking(
    shared: SqlLedger, first: Callable[[Connection], object], second: Callable[[], T]
) -> T:
    """Start `second` during the transaction of `first`. Returns its result."""
    with ThreadPoolExecutor(1) as pool:
        with shared._database.writing() as connection:
            first(connection)
            later = pool.submit(second)
            time.sleep(0.5)  # it waits for the lock now
            assert not later.done()
        return later.result(60)


@pytest.mark.parametrize("before", [0, 3])
def test_the_same_instance_from_two_receivers_is_recorded_once(
    shared: SqlLedger, before: int
) -> None:
    for number in range(before):
        shared.record_instance(numbered_receipt("2.25.1", number), SOURCE)
    new = numbered_receipt("2.25.1", 9)
    study = overtaking(
        shared,
        lambda connection: record_instance(connection, new, SOURCE, AT),
        lambda: shared.record_instance(new, SOURCE),
    )
    assert (study.revision, study.instances) == (1, before + 1)
    assert len(shared.list_known_paths()) == before + 1


def test_two_concurrent_late_instances_open_one_revision(shared: SqlLedger) -> None:
    closed, _due = assessed(shared)
    late = [ledgers.receipt(number=number) for number in (98, 99)]
    study = overtaking(
        shared,
        lambda connection: record_instance(connection, late[0], SOURCE, AT),
        lambda: shared.record_instance(late[1], SOURCE),
    )
    assert (study.revision, study.instances) == (2, closed.instances + 2)


def test_two_deliveries_that_end_concurrently_end_their_study(shared: SqlLedger) -> None:
    study, (one, other) = assessed(shared, "pacs", "archive")
    overtaking(
        shared,
        lambda connection: end_delivery(connection, one, DeliveryState.DELIVERED, "", AT),
        lambda: shared.record_delivered(other, ""),
    )
    ended = shared.get_study(study.study_uid, study.revision)
    assert ended is not None
    assert ended.state is State.DELIVERED


def test_messages_of_the_later_of_two_concurrent_revisions_are_sent_last(
    shared: SqlLedger,
) -> None:
    study, old = assessing(shared), Product("hl7", "", "2.25.71", b"MSH", HL7)
    second = shared.record_instance(ledgers.receipt(number=9), SOURCE)
    new = replace(old, sop_instance_uid="2.25.72")

    def finish_second(connection: Connection) -> None:
        find_study(connection, second.study_uid, second.revision)
        store_product(connection, second, new, AT)
        open_delivery(connection, second, new, "ris", AT)

    due = overtaking(
        shared,
        finish_second,
        lambda: shared.finish(study, HOLDER, "{}", [old], [(old, "ris")]),
    )
    assert (due, shared.list_deliveries(study.study_uid, 1)) == ([], [])


def test_the_same_incident_reported_concurrently_is_one_row(shared: SqlLedger) -> None:
    overtaking(
        shared,
        lambda connection: count_incident(
            connection, IncidentKind.REFUSED_INSTANCE, "why", SOURCE, 1, AT
        ),
        lambda: shared.report_repeated(IncidentKind.REFUSED_INSTANCE, "why", SOURCE),
    )
    assert [incident.times for incident in shared.incidents()] == [2]


class Crossing:
    """Changes two studies in one transaction, the second after another one changed it."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.met = threading.Barrier(2)
        self.crossed = threading.Event()
        self.begun = 0

    @retry_on_conflict
    def change(self, *uids: str) -> None:
        self.begun += 1
        with self.database.writing() as connection:
            for uid in uids:
                mine = update(studies).where(studies.c.study_uid == uid)
                connection.execute(mine.values(attempts=studies.c.attempts + 1))
                if not self.crossed.is_set():
                    self.met.wait(60)
                    self.crossed.set()


def test_deadlocked_transactions_both_succeed(shared: SqlLedger) -> None:
    uids = [received(shared, name).study_uid for name in ("one", "two")]
    crossing = Crossing(shared._database)
    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(crossing.change, *order) for order in (uids, uids[::-1])]
        for future in both:
            future.result(60)
    assert crossing.begun == 3
    assert [study.attempts for study in shared.list_studies()] == [2, 2]


def test_a_permanent_conflict_raises_an_error(
    shared: SqlLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "PAUSE_S", 0.0)
    uid = received(shared).study_uid
    begun = []

    @retry_on_conflict
    def change(database: Database) -> None:
        begun.append(uid)
        with database.writing() as connection:
            connection.exec_driver_sql("DO $$ BEGIN RAISE SQLSTATE '40001'; END $$")

    with pytest.raises(LedgerUnavailable):
        change(shared._database)
    assert len(begun) == database_module.ATTEMPTS


def test_waiting_too_long_for_a_lock_raises_an_error(
    shared: SqlLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = received(shared)
    monkeypatch.setattr(database_module, "POSTGRES_TIMEOUTS", "-c lock_timeout=100ms")
    other = Database(shared._database._engine.url.render_as_string(hide_password=False))
    mine = update(studies).values(attempts=7)
    with shared._database.writing() as connection:
        connection.execute(mine)
        with pytest.raises(LedgerUnavailable):
            SqlLedger(other, FakeClock()).complete_at_limit(study, "why")
    other.close()
    assert shared.list_studies()[0].attempts == 7


def test_a_restart_of_the_server_loses_nothing(clock: FakeClock) -> None:
    numbers = iter(range(10**6))
    kept: list[int] = []
    refused = 0
    ended = threading.Event()

    with postgres() as alone:
        ledger = SqlLedger(Database(alone.new_database()), clock)

        def send() -> None:
            """Send as a PACS does: a refused instance is sent again."""
            nonlocal refused
            number = next(numbers)
            while not ended.is_set():
                try:
                    ledger.record_instance(numbered_receipt("2.25.1", number), SOURCE)
                except LedgerUnavailable:
                    refused += 1
                    time.sleep(0.05)
                else:
                    kept.append(number)
                    number = next(numbers)

        sending = threading.Thread(target=send)
        sending.start()
        try:
            for _ in range(2):
                before = len(kept)
                wait_until(lambda: len(kept) > before + 20, what="instances")  # noqa: B023
                alone.stop()
                was = refused
                wait_until(lambda: refused > was, what="a refusal")  # noqa: B023
                with pytest.raises(LedgerUnavailable):
                    ledger.list_studies()
                alone.start()
            before = len(kept)
            wait_until(lambda: len(kept) > before + 20, what="instances")
        finally:
            ended.set()
            sending.join()
        (study,) = ledger.list_studies()
        assert ledger.list_known_paths() >= {f"2.25.1/{number}.dcm" for number in kept}
        assert study.instances == len(ledger.list_paths("2.25.1", 1)) <= len(kept) + 1
        ledger.close()
