"""The ledger on SQLAlchemy.

Rule: every public method is one transaction, made of the steps in `rows`. What a writing one has
read still holds when it writes (`database`): that is the compare-and-set behind "nothing twice".
Where a server finds that two came in each other's way, one of them begins anew.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Row, exists, func, insert, select

from triage.concurrency.batching import BatchedCall
from triage.domain.census import Census
from triage.domain.completeness import StackCount
from triage.domain.delivery import UNDER_WAY, Delivery, DeliveryState, Outage, Product, Route
from triage.domain.errors import StudyBeingRemoved
from triage.domain.instance import Receipt, Source
from triage.domain.study import Event, State, StudyRevision
from triage.ports.clock import Clock
from triage.store import ledger_statements as rows
from triage.store.database import Database, retry_on_conflict
from triage.store.schema import deliveries, history, incidents, instances, studies


@dataclass
class _Arrival:
    """An instance that is to be recorded, and then the revision that has it."""

    receipt: Receipt
    source: Source
    study: StudyRevision | None = None
    refused: StudyBeingRemoved | None = None


def _study_of(arrival: _Arrival) -> str:
    return arrival.receipt.identity.study_uid


class SqlLedger:
    """See `ports.Ledger`."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._record_together = BatchedCall(self._record_all)

    @classmethod
    def in_folder(cls, state_dir: Path, clock: Clock) -> "SqlLedger":
        """Open the embedded ledger of a state folder."""
        return cls(cls.database_in(state_dir), clock)

    @classmethod
    def database_in(cls, state_dir: Path) -> Database:
        """Open the database of the embedded ledger, which holds the cases too."""
        return Database(f"sqlite:///{cls.path_in(state_dir)}")

    @staticmethod
    def path_in(state_dir: Path) -> Path:
        """Return where the embedded ledger of a state folder lies."""
        return state_dir / "ledger.sqlite"

    def close(self) -> None:
        """Close all connections."""
        self._database.close()

    # -- intake

    def record(self, receipt: Receipt, source: Source) -> StudyRevision:
        """Remember an instance; it opens a study, joins it, or opens its next revision."""
        arrival = _Arrival(receipt, source)
        self._record_together(arrival)
        if arrival.refused is not None:
            raise arrival.refused
        assert arrival.study is not None  # noqa: S101 - or it would have raised
        return arrival.study

    @retry_on_conflict
    def _record_all(self, arrivals: Sequence["_Arrival"]) -> None:
        """Remember what arrived at the same moment in one transaction."""
        at = self._clock.now()
        with self._database.writing() as connection:
            # Studies are locked in one order, or two receivers would wait for each other.
            for arrival in sorted(arrivals, key=_study_of):
                try:
                    arrival.study = rows.record(connection, arrival.receipt, arrival.source, at)
                except StudyBeingRemoved as error:  # which is no matter of the others
                    arrival.refused = error

    @retry_on_conflict
    def report(self, kind: str, detail: str, source: Source, path: str = "") -> None:
        """Remember an incident."""
        values = {"kind": kind, "detail": detail, "at": self._clock.now(), "path": path}
        origin = {"calling_ae": source.calling_ae[:16], "address": source.address}
        with self._database.writing() as connection:
            connection.execute(insert(incidents).values(values | origin))

    @retry_on_conflict
    def report_again(
        self, kind: str, detail: str, source: Source, times: int = 1, path: str = ""
    ) -> None:
        """Remember that the same happened again: one incident a day, with how often."""
        at = self._clock.now()
        with self._database.writing() as connection:
            rows.report_again(connection, kind, detail, source, times, at, path)

    def known_paths(self) -> set[str]:
        """Return the spool paths of all instances."""
        with self._database.reading() as connection:
            return set(connection.scalars(select(instances.c.path)))

    def knows(self, study_uid: str) -> bool:
        """Tell whether anything of a study has come."""
        known = select(exists().where(studies.c.study_uid == study_uid))
        with self._database.reading() as connection:
            return bool(connection.scalar(known))

    def waiting_studies(self) -> int:
        """Return how many revisions arrive, or wait for a worker."""
        waiting = studies.c.state.in_((State.RECEIVING, State.READY))
        with self._database.reading() as connection:
            return connection.scalar(select(func.count()).where(waiting)) or 0

    def census(self) -> Census:
        """Return how many studies and deliveries are in each state, and since when one waits."""
        by_state = [
            select(table.c.state, func.count()).group_by(table.c.state)
            for table in (studies, deliveries)
        ]
        since = select(func.min(studies.c.last_instance_at)).where(studies.c.state == State.READY)
        with self._database.reading() as connection:
            of_studies, of_deliveries = (connection.execute(query).all() for query in by_state)
            return Census(
                {State(state): count for state, count in of_studies},
                {DeliveryState(state): count for state, count in of_deliveries},
                connection.scalar(since),
            )

    # -- studies

    def study(self, study_uid: str, revision: int) -> StudyRevision | None:
        """Return one revision of a study."""
        with self._database.reading() as connection:
            return rows.find_study(connection, study_uid, revision)

    def studies(self, *states: State) -> Sequence[StudyRevision]:
        """Return the revisions in these states, oldest first."""
        query = select(studies).order_by(studies.c.first_instance_at, studies.c.revision)
        if states:
            query = query.where(studies.c.state.in_(states))
        with self._database.reading() as connection:
            return [rows.revision_of(row) for row in connection.execute(query)]

    def paths(self, study_uid: str, revision: int) -> Sequence[str]:
        """Return the spool paths of every instance of a revision, sorted."""
        query = select(instances.c.path).where(
            instances.c.study_uid == study_uid, instances.c.revision <= revision
        )
        with self._database.reading() as connection:
            return sorted(connection.scalars(query))

    def stacks(self, study_uid: str, revision: int) -> Sequence[StackCount]:
        """Return the images by series and place, where they say of how many they are."""
        said = func.max(instances.c.cardiac_images)
        query = (
            select(func.count(), said)
            .where(instances.c.study_uid == study_uid, instances.c.revision <= revision)
            .group_by(instances.c.series_uid, instances.c.place)
            .having(said > 0)
        )
        with self._database.reading() as connection:
            return [StackCount(images, expected) for images, expected in connection.execute(query)]

    def removed_instances(self, study_uid: str) -> int:
        """Return how many instances a study had whose images were removed; 0: none were."""
        most = select(func.max(studies.c.instances)).where(studies.c.pruned_at > 0)
        with self._database.reading() as connection:
            return connection.scalar(most.where(studies.c.study_uid == study_uid)) or 0

    def sources(self, study_uid: str, revision: int) -> set[str]:
        """Return the calling AE titles that instances of a revision came from."""
        query = select(instances.c.calling_ae).distinct()
        mine = (instances.c.study_uid == study_uid, instances.c.revision <= revision)
        with self._database.reading() as connection:
            return set(connection.scalars(query.where(*mine)))

    def arrivals(self, study_uid: str, revision: int) -> Mapping[Source, Mapping[str, int]]:
        """Return how many instances of each SOP class a revision has first, by who sent them."""
        key = (instances.c.calling_ae, instances.c.address, instances.c.sop_class_uid)
        mine = (instances.c.study_uid == study_uid, instances.c.revision == revision)
        query = select(*key, func.count()).where(*mine).group_by(*key).order_by(*key)
        found: dict[Source, dict[str, int]] = {}
        with self._database.reading() as connection:
            for calling_ae, address, sop_class_uid, count in connection.execute(query):
                found.setdefault(Source(calling_ae, address), {})[sop_class_uid] = count
        return found

    def history(self, study_uid: str) -> Sequence[Row[Any]]:
        """Return what happened to a study: rows of at, revision, event, state, reason."""
        query = select(history).where(history.c.study_uid == study_uid).order_by(history.c.id)
        with self._database.reading() as connection:
            return connection.execute(query).all()

    def incidents(
        self, newest: int = 10, of: Collection[str] = (), but: Collection[str] = ()
    ) -> Sequence[Row[Any]]:
        """Return the newest incidents, newest first: of some kinds alone, or of all but some."""
        query = select(incidents).order_by(incidents.c.at.desc(), incidents.c.id.desc())
        if of:
            query = query.where(incidents.c.kind.in_(of))
        query = query.where(incidents.c.kind.not_in(but)).limit(newest)
        with self._database.reading() as connection:
            return connection.execute(query).all()

    @retry_on_conflict
    def move(
        self,
        study: StudyRevision,
        event: Event,
        reason: str,
        holder: str | None = None,
        again_in_s: float = 0.0,
    ) -> bool:
        """Apply an event, if it is possible and nothing arrived since `study` was read."""
        with self._database.writing() as connection:
            now = rows.find_study(connection, study.study_uid, study.revision)
            if now is None or now.last_instance_at != study.last_instance_at:
                return False
            if holder not in {None, now.holder}:
                return False
            at = self._clock.now()
            if not rows.move(connection, now, event, reason, at):
                return False
            due = rows.update_study(now.study_uid, now.revision).values(due_at=at + again_in_s)
            connection.execute(due)
            return True

    @retry_on_conflict
    def cut_off(self, study: StudyRevision, reason: str) -> bool:
        """Judge a study complete although it grows."""
        with self._database.writing() as connection:
            now = rows.find_study(connection, study.study_uid, study.revision)
            at = self._clock.now()
            return now is not None and rows.move(connection, now, Event.JUDGED_COMPLETE, reason, at)

    # -- leases

    @retry_on_conflict
    def claim(
        self, study_uid: str, revision: int, holder: str, lease_s: float
    ) -> StudyRevision | None:
        """Take a READY revision for `holder` until the lease ends."""
        at = self._clock.now()
        with self._database.writing() as connection:
            study = rows.find_study(connection, study_uid, revision)
            if study is None or not rows.move(connection, study, Event.CLAIMED, f"by {holder}", at):
                return None
            taken = {
                "holder": holder,
                "lease_until": at + lease_s,
                "attempts": studies.c.attempts + 1,
            }
            connection.execute(rows.update_study(study_uid, revision).values(taken))
            return rows.find_study(connection, study_uid, revision)

    @retry_on_conflict
    def renew(self, study_uid: str, revision: int, holder: str, lease_s: float) -> bool:
        """Extend the lease of `holder`."""
        renewed = rows.update_study(study_uid, revision).values(
            lease_until=self._clock.now() + lease_s
        )
        mine = (studies.c.holder == holder, studies.c.state == State.ASSESSING)
        with self._database.writing() as connection:
            return connection.execute(renewed.where(*mine)).rowcount == 1

    def expired(self) -> Sequence[StudyRevision]:
        """Return the ASSESSING revisions whose lease has ended."""
        query = select(studies).where(
            studies.c.state == State.ASSESSING,
            rows.is_over(studies.c.lease_until, self._clock.now()),
        )
        with self._database.reading() as connection:
            return [rows.revision_of(row) for row in connection.execute(query)]

    @retry_on_conflict
    def finish(
        self,
        study: StudyRevision,
        holder: str,
        summary: str,
        products: Sequence[Product],
        routes: Sequence[Route],
    ) -> Sequence[int] | None:
        """Store an assessment's products, and a delivery a route; return the deliveries' ids."""
        at = self._clock.now()
        with self._database.writing() as connection:
            rows.lock_revisions(connection, study.study_uid)
            now = rows.find_study(connection, study.study_uid, study.revision)
            if now is None or now.holder != holder:
                return None
            routes = [each for each in routes if not rows.is_overtaken(connection, now, *each)]
            reason = f"{len(products)} product(s), {len(routes)} delivery(ies)"
            if not rows.move(connection, now, Event.ASSESSED, reason, at):
                return None
            connection.execute(
                rows.update_study(now.study_uid, now.revision).values(summary=summary)
            )
            for product in products:
                rows.store_product(connection, now, product, at)
            opened = (rows.open_delivery(connection, now, *route, at) for route in routes)
            due = [delivery_id for delivery_id in opened if delivery_id is not None]
            rows.supersede_others(connection, now, due, at)
            rows.supersede_earlier_messages(connection, now, routes, at)
            rows.end_study(connection, now.study_uid, now.revision, at)
            return due

    def summary(self, study_uid: str, revision: int) -> str | None:
        """Return what `finish` stored as the summary."""
        query = select(studies.c.summary).where(*rows.same_study(study_uid, revision))
        with self._database.reading() as connection:
            return connection.scalar(query)

    def products(self, study_uid: str, revision: int) -> Sequence[Product]:
        """Return what was said of a study up to a revision, the latest last."""
        with self._database.reading() as connection:
            return rows.find_products(connection, study_uid, revision)

    # -- what is due

    def unsent_studies(self, forgotten_after_s: float | None) -> Sequence[StudyRevision]:
        """Return READY revisions never queued, or queued so long ago; None: never again."""
        at = self._clock.now()
        query = select(studies).where(
            studies.c.state == State.READY,
            rows.is_over(studies.c.due_at, at),
            rows.unsent(studies.c.queued_at, at, forgotten_after_s),
        )
        with self._database.reading() as connection:
            return [rows.revision_of(row) for row in connection.execute(query)]

    def unsent_deliveries(self, forgotten_after_s: float | None) -> Sequence[int]:
        """Return due deliveries never queued, or queued so long ago; None: never again."""
        at = self._clock.now()
        query = select(deliveries.c.id).where(
            rows.is_due(at),
            rows.unsent(deliveries.c.queued_at, at, forgotten_after_s),
        )
        with self._database.reading() as connection:
            return connection.scalars(query).all()

    @retry_on_conflict
    def queued_study(self, study_uid: str, revision: int) -> None:
        """Remember that the broker took the study's task."""
        with self._database.writing() as connection:
            connection.execute(
                rows.update_study(study_uid, revision).values(queued_at=self._clock.now())
            )

    @retry_on_conflict
    def queued_delivery(self, delivery_id: int) -> None:
        """Remember that the broker took the delivery's task."""
        with self._database.writing() as connection:
            connection.execute(
                rows.update_delivery(delivery_id).values(queued_at=self._clock.now())
            )

    # -- deliveries

    @retry_on_conflict
    def claim_delivery(self, delivery_id: int, lease_s: float) -> Delivery | None:
        """Take a due delivery until the lease ends."""
        at = self._clock.now()
        free = rows.update_delivery(delivery_id).where(rows.is_due(at))
        taken = free.values(lease_until=at + lease_s, attempts=deliveries.c.attempts + 1)
        with self._database.writing() as connection:
            if connection.execute(taken).rowcount == 0:
                return None
            return rows.find_deliveries(connection, deliveries.c.id == delivery_id)[0]

    @retry_on_conflict
    def renew_delivery(self, delivery_id: int, lease_s: float) -> bool:
        """Extend the lease of a delivery that is under way."""
        renewed = rows.update_delivery(delivery_id).values(lease_until=self._clock.now() + lease_s)
        # An attempt that has ended has no lease, and must not get one.
        under_way = (deliveries.c.state.in_(UNDER_WAY), deliveries.c.lease_until > 0)
        with self._database.writing() as connection:
            return connection.execute(renewed.where(*under_way)).rowcount == 1

    def delivery(self, delivery_id: int) -> Delivery | None:
        """Return one delivery."""
        with self._database.reading() as connection:
            found = rows.find_deliveries(connection, deliveries.c.id == delivery_id)
            return next(iter(found), None)

    @retry_on_conflict
    def chosen(self, delivery_id: int, sop_instance_uid: str) -> None:
        """Remember which of its alternatives a delivery sends; it never sends another one."""
        values = {"sop_instance_uid": sop_instance_uid}
        with self._database.writing() as connection:
            connection.execute(rows.update_delivery(delivery_id).values(values))

    def delivered(self, delivery_id: int, answer: str) -> None:
        """Store a destination's acknowledgement; the last one ends the study."""
        self._ended(delivery_id, DeliveryState.DELIVERED, answer)

    @retry_on_conflict
    def not_delivered(
        self,
        delivery_id: int,
        answer: str,
        again_in_s: float | None,
        *,
        unreachable: bool = False,
    ) -> None:
        """Store a failure; tried again after a while, given up where that is None.

        While a destination is unreachable, this delivery alone finds out when it is back.
        """
        if again_in_s is None:
            self._ended(delivery_id, DeliveryState.FAILED, answer)
            return
        at = self._clock.now()
        waiting = {"due_at": at + again_in_s, "lease_until": 0.0, "queued_at": 0.0}
        found = {
            "unreachable": unreachable,
            "unreachable_since": rows.silent_since(at, unreachable),
        }
        values = {"last_answer": answer, "changed_at": at, **found, **waiting}
        # An archive's word may have come meanwhile.
        again = rows.update_delivery(delivery_id).where(deliveries.c.state.in_(UNDER_WAY))
        with self._database.writing() as connection:
            connection.execute(again.values(state=DeliveryState.PENDING, **values))

    def outages(self) -> Sequence[Outage]:
        """Return the destinations that do not answer, by name."""
        with self._database.reading() as connection:
            return rows.find_outages(connection)

    def deliveries(self, study_uid: str, revision: int) -> Sequence[Delivery]:
        """Return the deliveries of a revision."""
        where = (deliveries.c.study_uid == study_uid, deliveries.c.revision == revision)
        with self._database.reading() as connection:
            return rows.find_deliveries(connection, *where)

    @retry_on_conflict
    def _ended(self, delivery_id: int, state: DeliveryState, answer: str) -> None:
        with self._database.writing() as connection:
            rows.end_delivery(connection, delivery_id, state, answer, self._clock.now())
