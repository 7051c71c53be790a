"""Storage commitment requests until their report is sent (`ports.CommitmentLedger`).

Each request is one row in the ledger's database, deleted when its report was sent or given up.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import astuple
from typing import Any

from sqlalchemy import Row, delete, insert, select, update

from triage.domain.commitment import Commitment, ReceivedInstance, Reference
from triage.ports.clock import Clock
from triage.store.database import Database, retry_on_conflict
from triage.store.schema import commitments, instances, studies

AT_ONCE = 500  #: UIDs per database query


class SqlCommitments:
    """Outstanding storage commitment reports, in the ledger's database."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def close(self) -> None:
        """Close all connections."""
        self._database.close()

    @retry_on_conflict
    def record_request(
        self,
        requestor: str,
        transaction_uid: str,
        references: Sequence[Reference],
        due_in_s: float,
    ) -> Commitment:
        """Store a request; a repeated request replaces the earlier one."""
        is_request = (
            commitments.c.requestor == requestor,
            commitments.c.transaction_uid == transaction_uid,
        )
        content = json.dumps([astuple(reference) for reference in references])
        key = {"requestor": requestor, "transaction_uid": transaction_uid}
        values = {**key, "content": content, "due_at": self._clock.now() + due_in_s}
        with self._database.writing() as connection:
            connection.execute(delete(commitments).where(*is_request))
            connection.execute(insert(commitments).values(values))
            return _to_commitment(connection.execute(select(commitments).where(*is_request)).one())

    def list_due(self) -> Sequence[Commitment]:
        """Return the requests to be reported now, oldest first."""
        query = select(commitments).where(commitments.c.due_at <= self._clock.now())
        with self._database.reading() as connection:
            return [_to_commitment(row) for row in connection.execute(query.order_by("id"))]

    @retry_on_conflict
    def close_request(self, commitment_id: int) -> None:
        """Delete a request after its report was sent or given up."""
        with self._database.writing() as connection:
            connection.execute(delete(commitments).where(commitments.c.id == commitment_id))

    @retry_on_conflict
    def postpone(self, commitment_id: int, seconds: float) -> None:
        """Count a failed attempt and postpone the next one."""
        later = {"due_at": self._clock.now() + seconds, "attempts": commitments.c.attempts + 1}
        changed = update(commitments).where(commitments.c.id == commitment_id).values(later)
        with self._database.writing() as connection:
            connection.execute(changed)

    def find_instances(self, uids: Sequence[str]) -> Mapping[str, Sequence[ReceivedInstance]]:
        """Return the received instances by SOP Instance UID, in any study.

        Studies marked for image removal are left out.
        """
        pruning = select(studies.c.study_uid).where(studies.c.pruning)
        found: dict[str, list[ReceivedInstance]] = {}
        columns = (instances.c.sop_class_uid, instances.c.path, instances.c.digest)
        with self._database.reading() as connection:
            for start in range(0, len(uids), AT_ONCE):
                batch = uids[start : start + AT_ONCE]
                query = select(instances.c.sop_instance_uid, *columns)
                query = query.where(instances.c.study_uid.not_in(pruning))
                for uid, *values in connection.execute(
                    query.where(instances.c.sop_instance_uid.in_(batch))
                ):
                    found.setdefault(uid, []).append(ReceivedInstance(*values))
        return found


def _to_commitment(row: Row[Any]) -> Commitment:
    references = tuple(Reference(*pair) for pair in json.loads(row.content))
    return Commitment(row.id, row.requestor, row.transaction_uid, references, row.attempts)
