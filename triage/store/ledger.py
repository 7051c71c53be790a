"""The ledger on SQLAlchemy (`ports.Ledger`).

Every public method is one transaction, built from the steps in `ledger_statements`. Values that a
writing transaction has read stay valid until it ends (see `database`), so each change is a
compare-and-set and nothing happens twice. If the server reports a conflict between two
transactions, one of them is repeated.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Row, exists, func, insert, select

from triage.concurrency.batching import BatchedCall
from triage.domain.assessment import Flag
from triage.domain.census import Census
from triage.domain.completeness import StackCount
from triage.domain.delivery import UNFINISHED, Delivery, DeliveryState, Outage, Product, Route
from triage.domain.errors import StudyBeingRemoved
from triage.domain.incident import IncidentKind
from triage.domain.instance import Receipt, Source
from triage.domain.reasons import Reason, ReasonCode, because
from triage.domain.study import Event, State, StudyRevision
from triage.ports.clock import Clock
from triage.store.database import Database, retry_on_conflict
from triage.store.ledger_statements.census import read_census
from triage.store.ledger_statements.deliveries import (
    describe_failure,
    end_delivery,
    find_deliveries,
    find_outages,
    find_products,
    is_due,
    is_overtaken,
    open_deliveries,
    postpone_delivery,
    store_product,
    update_delivery,
)
from triage.store.ledger_statements.incidents import count_incident, find_incidents
from triage.store.ledger_statements.instances import record_instance, replace_instance
from triage.store.ledger_statements.studies import (
    find_study,
    has_passed,
    is_revision,
    is_unsent,
    lock_revisions,
    move_study,
    open_ready_revision,
    to_revision,
    update_study,
)
from triage.store.schema import deliveries, history, incidents, instances, studies


@dataclass
class _BatchedArrival:
    """An instance to be recorded, and then the result."""

    receipt: Receipt
    source: Source
    study: StudyRevision | None = None  #: the revision that has the instance
    refused: StudyBeingRemoved | None = None  #: why the instance was not recorded


def _study_uid_of(arrival: _BatchedArrival) -> str:
    return arrival.receipt.identity.study_uid


class SqlLedger:
    """The ledger in a SQLite or PostgreSQL database."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._record_batched = BatchedCall(self._record_all)

    @classmethod
    def in_folder(cls, state_dir: Path, clock: Clock) -> "SqlLedger":
        """Open the embedded ledger of a state folder."""
        return cls(cls.database_in(state_dir), clock)

    @classmethod
    def database_in(cls, state_dir: Path) -> Database:
        """Open the database of the embedded ledger, which also holds the cases."""
        return Database(f"sqlite:///{cls.path_in(state_dir)}")

    @staticmethod
    def path_in(state_dir: Path) -> Path:
        """Return the path of the embedded ledger in a state folder."""
        return state_dir / "ledger.sqlite"

    def close(self) -> None:
        """Close all connections."""
        self._database.close()

    # -- intake

    def record_instance(self, receipt: Receipt, source: Source) -> StudyRevision:
        """Record an instance: it opens a study, joins it, or opens its next revision.

        Raises:
            StudyBeingRemoved: while the study's images are being removed.
        """
        arrival = _BatchedArrival(receipt, source)
        self._record_batched(arrival)
        if arrival.refused is not None:
            raise arrival.refused
        assert arrival.study is not None  # noqa: S101 - the batch sets one of the two
        return arrival.study

    @retry_on_conflict
    def _record_all(self, arrivals: Sequence["_BatchedArrival"]) -> None:
        """Record the instances that arrived at the same time in one transaction."""
        at = self._clock.now()
        with self._database.writing() as connection:
            # All receivers lock studies in the same order, otherwise two could deadlock.
            for arrival in sorted(arrivals, key=_study_uid_of):
                try:
                    arrival.study = record_instance(connection, arrival.receipt, arrival.source, at)
                except StudyBeingRemoved as error:  # concerns this instance only
                    arrival.refused = error

    @retry_on_conflict
    def replace_instance(self, receipt: Receipt, source: Source) -> StudyRevision:
        """Record an instance in place of a known one; raise StudyBeingRemoved."""
        with self._database.writing() as connection:
            return replace_instance(connection, receipt, source, self._clock.now())

    @retry_on_conflict
    def report_incident(
        self, kind: IncidentKind, detail: str, source: Source, path: str = ""
    ) -> None:
        """Add an incident."""
        values = {"kind": kind, "detail": detail, "at": self._clock.now(), "path": path}
        origin = {"calling_ae": source.calling_ae[:16], "address": source.address}
        with self._database.writing() as connection:
            connection.execute(insert(incidents).values(values | origin))

    @retry_on_conflict
    def report_repeated(
        self, kind: IncidentKind, detail: str, source: Source, times: int = 1, path: str = ""
    ) -> None:
        """Count a repeated incident on one row a day."""
        at = self._clock.now()
        with self._database.writing() as connection:
            count_incident(connection, kind, detail, source, times, at, path)

    def list_known_paths(self) -> set[str]:
        """Return the spool paths of all instances."""
        with self._database.reading() as connection:
            return set(connection.scalars(select(instances.c.path)))

    def has_study(self, study_uid: str) -> bool:
        """Return whether any instance of a study was ever received."""
        known = select(exists().where(studies.c.study_uid == study_uid))
        with self._database.reading() as connection:
            return bool(connection.scalar(known))

    def count_waiting_studies(self) -> int:
        """Return how many revisions are arriving or waiting for a worker."""
        waiting = studies.c.state.in_((State.RECEIVING, State.READY))
        with self._database.reading() as connection:
            return connection.scalar(select(func.count()).where(waiting)) or 0

    def get_census(self) -> Census:
        """Return the counts of studies and deliveries by state, and the oldest times."""
        with self._database.reading() as connection:
            return read_census(connection)

    # -- studies

    def get_study(self, study_uid: str, revision: int) -> StudyRevision | None:
        """Return one revision of a study, None if it does not exist."""
        with self._database.reading() as connection:
            return find_study(connection, study_uid, revision)

    def list_studies(self, *states: State) -> Sequence[StudyRevision]:
        """Return the revisions in these states (default: all), oldest first."""
        query = select(studies).order_by(studies.c.first_instance_at, studies.c.revision)
        if states:
            query = query.where(studies.c.state.in_(states))
        with self._database.reading() as connection:
            return [to_revision(row) for row in connection.execute(query)]

    def list_paths(self, study_uid: str, revision: int) -> Sequence[str]:
        """Return the spool paths of every instance of a revision, sorted."""
        query = select(instances.c.path).where(
            instances.c.study_uid == study_uid, instances.c.revision <= revision
        )
        with self._database.reading() as connection:
            return sorted(connection.scalars(query))

    def list_stacks(self, study_uid: str, revision: int) -> Sequence[StackCount]:
        """Return the image counts by series and slice, where the images announce a total."""
        announced = func.max(instances.c.cardiac_images)
        query = (
            select(func.count(), announced)
            .where(instances.c.study_uid == study_uid, instances.c.revision <= revision)
            .group_by(instances.c.series_uid, instances.c.place)
            .having(announced > 0)
        )
        with self._database.reading() as connection:
            return [StackCount(images, expected) for images, expected in connection.execute(query)]

    def count_removed_instances(self, study_uid: str) -> int:
        """Return how many instances a study had before retention removed them; 0 if none."""
        most = select(func.max(studies.c.instances)).where(studies.c.pruned_at > 0)
        with self._database.reading() as connection:
            return connection.scalar(most.where(studies.c.study_uid == study_uid)) or 0

    def list_sources(self, study_uid: str, revision: int) -> set[str]:
        """Return the calling AE titles that sent instances of a revision."""
        query = select(instances.c.calling_ae).distinct()
        mine = (instances.c.study_uid == study_uid, instances.c.revision <= revision)
        with self._database.reading() as connection:
            return set(connection.scalars(query.where(*mine)))

    def count_arrivals(self, study_uid: str, revision: int) -> Mapping[Source, Mapping[str, int]]:
        """Return the counts of a revision's new instances by sender and SOP class."""
        key = (instances.c.calling_ae, instances.c.address, instances.c.sop_class_uid)
        mine = (instances.c.study_uid == study_uid, instances.c.revision == revision)
        query = select(*key, func.count()).where(*mine).group_by(*key).order_by(*key)
        found: dict[Source, dict[str, int]] = {}
        with self._database.reading() as connection:
            for calling_ae, address, sop_class_uid, count in connection.execute(query):
                found.setdefault(Source(calling_ae, address), {})[sop_class_uid] = count
        return found

    def history(self, study_uid: str) -> Sequence[Row[Any]]:
        """Return a study's history: rows of at, revision, event, state, reason."""
        query = select(history).where(history.c.study_uid == study_uid).order_by(history.c.id)
        with self._database.reading() as connection:
            return connection.execute(query).all()

    def incidents(
        self,
        newest: int = 10,
        of: Collection[str] = (),
        but: Collection[str] = (),
        study_uid: str = "",
    ) -> Sequence[Row[Any]]:
        """Return the newest incidents, newest first; only kinds in `of`, without kinds in `but`.

        With `study_uid`, only those whose path is the folder of this study.
        """
        with self._database.reading() as connection:
            return find_incidents(connection, newest, of, but, study_uid)

    @retry_on_conflict
    def move(
        self,
        study: StudyRevision,
        event: Event,
        reason: str,
        holder: str | None = None,
        again_in_s: float = 0.0,
    ) -> bool:
        """Apply an event if it is possible and no instance arrived since `study` was read."""
        with self._database.writing() as connection:
            now = find_study(connection, study.study_uid, study.revision)
            if now is None or now.last_instance_at != study.last_instance_at:
                return False
            if holder not in {None, now.holder}:
                return False
            at = self._clock.now()
            if not move_study(connection, now, event, reason, at):
                return False
            due = update_study(now.study_uid, now.revision).values(due_at=at + again_in_s)
            connection.execute(due)
            return True

    @retry_on_conflict
    def complete_at_limit(self, study: StudyRevision, reason: str) -> bool:
        """Judge a study complete although instances still arrive."""
        with self._database.writing() as connection:
            now = find_study(connection, study.study_uid, study.revision)
            at = self._clock.now()
            return now is not None and move_study(
                connection, now, Event.JUDGED_COMPLETE, reason, at
            )

    @retry_on_conflict
    def open_next_revision(self, latest: StudyRevision, reason: str) -> bool:
        """Open a READY revision with the images of `latest`, if that is still the latest."""
        with self._database.writing() as connection:
            return open_ready_revision(connection, latest, reason, self._clock.now())

    # -- leases

    @retry_on_conflict
    def claim(
        self, study_uid: str, revision: int, holder: str, lease_s: float
    ) -> StudyRevision | None:
        """Lease a READY revision to `holder`. Returns None if it is not READY."""
        at = self._clock.now()
        with self._database.writing() as connection:
            study = find_study(connection, study_uid, revision)
            reason = str(because(ReasonCode.CLAIMED, holder=holder))
            if study is None or not move_study(connection, study, Event.CLAIMED, reason, at):
                return None
            attempts = studies.c.attempts + 1
            lease = {"holder": holder, "lease_until": at + lease_s, "attempts": attempts}
            connection.execute(update_study(study_uid, revision).values(lease))
            return find_study(connection, study_uid, revision)

    @retry_on_conflict
    def renew(self, study_uid: str, revision: int, holder: str, lease_s: float) -> bool:
        """Extend the lease of `holder`. Returns False if the lease was lost."""
        renewed = update_study(study_uid, revision).values(lease_until=self._clock.now() + lease_s)
        mine = (studies.c.holder == holder, studies.c.state == State.ASSESSING)
        with self._database.writing() as connection:
            return connection.execute(renewed.where(*mine)).rowcount == 1

    def list_expired(self) -> Sequence[StudyRevision]:
        """Return the ASSESSING revisions with an expired lease."""
        query = select(studies).where(
            studies.c.state == State.ASSESSING,
            has_passed(studies.c.lease_until, self._clock.now()),
        )
        with self._database.reading() as connection:
            return [to_revision(row) for row in connection.execute(query)]

    @retry_on_conflict
    def finish(  # noqa: PLR0913, PLR0917 - what is stored in one transaction
        self,
        study: StudyRevision,
        holder: str,
        summary: str,
        products: Sequence[Product],
        routes: Sequence[Route],
        flag: Flag | None = None,
        remarks: Sequence[Reason] = (),
    ) -> Sequence[int] | None:
        """Store an assessment, its products and its root flag, and open a delivery per route.

        Returns the ids of the deliveries, None if `holder` lost its lease.
        """
        at = self._clock.now()
        with self._database.writing() as connection:
            lock_revisions(connection, study.study_uid)
            now = find_study(connection, study.study_uid, study.revision)
            if now is None or now.holder != holder:
                return None
            routes = [route for route in routes if not is_overtaken(connection, now, *route)]
            counts = {"products": len(products), "deliveries": len(routes)}
            reason = str(because(ReasonCode.ASSESSED, *remarks, **counts))
            if not move_study(connection, now, Event.ASSESSED, reason, at):
                return None
            result = {"summary": summary, "flag": flag}
            connection.execute(update_study(now.study_uid, now.revision).values(result))
            for product in products:
                store_product(connection, now, product, at)
            return open_deliveries(connection, now, routes, at)

    def get_summary(self, study_uid: str, revision: int) -> str | None:
        """Return the summary that `finish` stored: the assessment as JSON."""
        query = select(studies.c.summary).where(*is_revision(study_uid, revision))
        with self._database.reading() as connection:
            return connection.scalar(query)

    def list_products(self, study_uid: str, revision: int) -> Sequence[Product]:
        """Return the products of a study up to and including a revision, latest last."""
        with self._database.reading() as connection:
            return find_products(connection, study_uid, revision)

    # -- what is due

    def list_unsent_studies(self, forgotten_after_s: float | None) -> Sequence[StudyRevision]:
        """Return READY revisions without a queued task, or with one that the broker lost.

        In the order of their last instance, also after a restore: a study is compared with those
        that were assessed before it.
        """
        at = self._clock.now()
        query = (
            select(studies)
            .where(
                studies.c.state == State.READY,
                has_passed(studies.c.due_at, at),
                is_unsent(studies.c.queued_at, at, forgotten_after_s),
            )
            .order_by(studies.c.last_instance_at, studies.c.study_uid)
        )
        with self._database.reading() as connection:
            return [to_revision(row) for row in connection.execute(query)]

    def list_unsent_deliveries(self, forgotten_after_s: float | None) -> Sequence[int]:
        """Return due deliveries without a queued task, or with one that the broker lost."""
        at = self._clock.now()
        query = select(deliveries.c.id).where(
            is_due(at),
            is_unsent(deliveries.c.queued_at, at, forgotten_after_s),
        )
        with self._database.reading() as connection:
            return connection.scalars(query).all()

    @retry_on_conflict
    def mark_study_queued(self, study_uid: str, revision: int) -> None:
        """Record that the broker accepted the study's task."""
        with self._database.writing() as connection:
            connection.execute(
                update_study(study_uid, revision).values(queued_at=self._clock.now())
            )

    @retry_on_conflict
    def mark_delivery_queued(self, delivery_id: int) -> None:
        """Record that the broker accepted the delivery's task."""
        with self._database.writing() as connection:
            connection.execute(update_delivery(delivery_id).values(queued_at=self._clock.now()))

    # -- deliveries

    @retry_on_conflict
    def claim_delivery(self, delivery_id: int, lease_s: float) -> Delivery | None:
        """Lease a due delivery. Returns None if it is not due or already leased."""
        at = self._clock.now()
        due = update_delivery(delivery_id).where(is_due(at))
        leased = due.values(lease_until=at + lease_s, attempts=deliveries.c.attempts + 1)
        with self._database.writing() as connection:
            if connection.execute(leased).rowcount == 0:
                return None
            return find_deliveries(connection, deliveries.c.id == delivery_id)[0]

    @retry_on_conflict
    def renew_delivery(self, delivery_id: int, lease_s: float) -> bool:
        """Extend the lease of a delivery that is under way. Returns False if it has ended."""
        renewed = update_delivery(delivery_id).values(lease_until=self._clock.now() + lease_s)
        # An attempt that has ended has no lease and must not get a new one.
        under_way = (deliveries.c.state.in_(UNFINISHED), deliveries.c.lease_until > 0)
        with self._database.writing() as connection:
            return connection.execute(renewed.where(*under_way)).rowcount == 1

    def get_delivery(self, delivery_id: int) -> Delivery | None:
        """Return one delivery, None if it does not exist."""
        with self._database.reading() as connection:
            found = find_deliveries(connection, deliveries.c.id == delivery_id)
            return next(iter(found), None)

    @retry_on_conflict
    def record_choice(self, delivery_id: int, sop_instance_uid: str) -> None:
        """Record which alternative a delivery sends; it never sends another one."""
        values = {"sop_instance_uid": sop_instance_uid}
        with self._database.writing() as connection:
            connection.execute(update_delivery(delivery_id).values(values))

    def record_delivered(self, delivery_id: int, answer: str) -> None:
        """Record a destination's acknowledgement; the last one ends the study."""
        self._end(delivery_id, DeliveryState.DELIVERED, answer)

    @retry_on_conflict
    def record_failure(
        self,
        delivery_id: int,
        answer: str,
        again_in_s: float | None,
        *,
        unreachable: bool = False,
        unclear: bool = False,
    ) -> None:
        """Record a failure; the delivery is retried, or given up if `again_in_s` is None.

        While a destination is unreachable, only this delivery probes whether it is back. An unclear
        attempt, which the destination may have accepted, is counted.
        """
        if again_in_s is None:
            self._end(delivery_id, DeliveryState.FAILED, answer, unclear=unclear)
            return
        at = self._clock.now()
        outcome = {"last_answer": answer, "changed_at": at, "due_at": at + again_in_s}
        outcome |= describe_failure(at, unreachable=unreachable, unclear=unclear)
        with self._database.writing() as connection:
            connection.execute(postpone_delivery(delivery_id).values(outcome))

    def list_outages(self) -> Sequence[Outage]:
        """Return the destinations that do not answer, ordered by name."""
        with self._database.reading() as connection:
            return find_outages(connection)

    def list_deliveries(self, study_uid: str, revision: int) -> Sequence[Delivery]:
        """Return the deliveries of a revision."""
        where = (deliveries.c.study_uid == study_uid, deliveries.c.revision == revision)
        with self._database.reading() as connection:
            return find_deliveries(connection, *where)

    @retry_on_conflict
    def _end(
        self, delivery_id: int, state: DeliveryState, answer: str, *, unclear: bool = False
    ) -> None:
        at = self._clock.now()
        with self._database.writing() as connection:
            end_delivery(connection, delivery_id, state, answer, at, unclear=unclear)
