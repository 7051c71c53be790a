"""The studies as `triage status` shows them: newest first, in pages, with refused reports."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Select, and_, func, or_, select, tuple_

from triage.domain.delivery import DeliveryState
from triage.domain.overview import Refusal, StudyOverview
from triage.domain.study import State, StudyRevision
from triage.store.database import Database
from triage.store.ledger_statements.studies import to_revision
from triage.store.schema import deliveries, studies

AT_ONCE = 400  #: revisions in one query, as the number of its parameters is limited


class SqlOverview:
    """Reads studies of the ledger's database for people."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def close(self) -> None:
        """Close all connections."""
        self._database.close()

    def count(self, states: Collection[State] = ()) -> int:
        """Return how many revisions are in these states; without states, how many there are."""
        with self._database.reading() as connection:
            return connection.scalar(_in_states(select(func.count(studies.c.state)), states)) or 0

    def list_newest(
        self, states: Collection[State] = (), limit: int | None = None, skip: int = 0
    ) -> Sequence[StudyOverview]:
        """Return revisions in these states, newest first; `skip` leaves out the newest ones."""
        query = _in_states(select(studies), states).limit(limit).offset(skip)
        newest = (
            studies.c.first_instance_at.desc(),
            studies.c.study_uid,
            studies.c.revision.desc(),
        )
        return self._read(query.order_by(*newest))

    def list_revisions(self, study_uid: str) -> Sequence[StudyOverview]:
        """Return every revision of a study, the newest first."""
        query = select(studies).where(studies.c.study_uid == study_uid)
        return self._read(query.order_by(studies.c.revision.desc()))

    def _read(self, query: Select[Any]) -> list[StudyOverview]:
        with self._database.reading() as connection:
            found = [to_revision(row) for row in connection.execute(query)]
        refusals: dict[tuple[str, int], list[Refusal]] = defaultdict(list)
        for first in range(0, len(found), AT_ONCE):
            self._add_refusals(found[first : first + AT_ONCE], refusals)
        return [
            StudyOverview(study, tuple(refusals[study.study_uid, study.revision]))
            for study in found
        ]

    def _add_refusals(
        self, chosen: Sequence[StudyRevision], refusals: dict[tuple[str, int], list[Refusal]]
    ) -> None:
        """Add the refusals of the chosen revisions, one for each destination and answer."""
        known = deliveries.c
        query = select(
            known.study_uid, known.revision, known.destination, known.last_answer, known.state
        ).distinct()
        # An answer that came before a person had the report sent again is no refusal.
        failing = and_(
            known.state == DeliveryState.PENDING, known.attempts > 0, known.last_answer != ""
        )
        keys = [(study.study_uid, study.revision) for study in chosen]
        mine = tuple_(known.study_uid, known.revision).in_(keys)
        query = query.where(mine, or_(known.state == DeliveryState.FAILED, failing))
        with self._database.reading() as connection:
            for row in connection.execute(query.order_by(known.destination)):
                refusal = Refusal(
                    row.destination, row.last_answer, row.state == DeliveryState.FAILED
                )
                refusals[row.study_uid, row.revision].append(refusal)


def _in_states(query: Select[Any], states: Collection[State]) -> Select[Any]:
    return query.where(studies.c.state.in_(states)) if states else query
