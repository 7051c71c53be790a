"""Announced studies in the ledger's database (`ports.Announcements`).

Each call is one transaction. Only UIDs are stored, no name and no number of a patient. A PACS may
announce every study that it has although few of them come here, so each `add` deletes announcements
that have not changed for KEPT_S.
"""

from collections.abc import Collection
from typing import Any

from sqlalchemy import Connection, Select, delete, distinct, func, insert, select, update

from triage.domain.announcement import AnnouncedStudy, AnnouncementChange, Stage
from triage.ports.clock import Clock
from triage.store.database import Database, retry_on_conflict
from triage.store.schema import announced_instances, announcements, instances

KEPT_S = 7 * 86_400.0  #: far longer than any study takes to arrive


class SqlAnnouncements:
    """Announcements of studies, in the ledger's database."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def close(self) -> None:
        """Close all connections."""
        self._database.close()

    @retry_on_conflict
    def add(
        self, uid: str, study_uid: str, stage: Stage, sop_instance_uids: Collection[str]
    ) -> bool:
        """Store a new announcement. Returns False if its UID is already stored."""
        known = select(func.count()).where(announcements.c.uid == uid)
        at = self._clock.now()
        values = {"uid": uid, "study_uid": study_uid, "stage": stage, "at": at}
        with self._database.writing() as connection:
            _delete_before(connection, at - KEPT_S)
            if connection.scalar(known):
                return False
            connection.execute(insert(announcements).values(values))
            _insert_instances(connection, uid, sop_instance_uids)
            return True

    @retry_on_conflict
    def change(
        self, uid: str, stage: Stage | None, sop_instance_uids: Collection[str] | None
    ) -> AnnouncementChange:
        """Change an announcement that is in progress; None leaves a value as it is."""
        mine = announcements.c.uid == uid
        values: dict[str, Any] = {"at": self._clock.now()}
        with self._database.writing() as connection:
            last = connection.scalar(select(announcements.c.stage).where(mine).with_for_update())
            if last is None:
                return AnnouncementChange.UNKNOWN
            if last != Stage.IN_PROGRESS:
                return AnnouncementChange.FINAL
            if stage is not None:
                values["stage"] = stage
            connection.execute(update(announcements).where(mine).values(values))
            if sop_instance_uids is not None:
                replaced = delete(announced_instances).where(announced_instances.c.uid == uid)
                connection.execute(replaced)
                _insert_instances(connection, uid, sop_instance_uids)
            return AnnouncementChange.DONE

    def find_by_study(self, study_uid: str) -> AnnouncedStudy | None:
        """Return the sum of all announcements of a study, None if there are none."""
        stages = select(announcements.c.stage).where(announcements.c.study_uid == study_uid)
        with self._database.reading() as connection:
            found = set(connection.scalars(stages))
            if not found:
                return None
            announced, here = connection.execute(_count_instances(study_uid)).one()
        return AnnouncedStudy(
            announced,
            here,
            in_progress=Stage.IN_PROGRESS in found,
            discontinued=Stage.DISCONTINUED in found,
        )


def _count_instances(study_uid: str) -> Select[int, int]:
    """Return the query for the numbers of announced and of received instances."""
    uid = announced_instances.c.sop_instance_uid
    listed = announcements.join(announced_instances)
    received = (instances.c.sop_instance_uid == uid) & (instances.c.study_uid == study_uid)
    return (
        select(func.count(distinct(uid)), func.count(distinct(instances.c.sop_instance_uid)))
        .select_from(listed.outerjoin(instances, received))
        .where(announcements.c.study_uid == study_uid)
    )


def _delete_before(connection: Connection, at: float) -> None:
    old = announcements.c.at < at
    uids = select(announcements.c.uid).where(old)
    connection.execute(delete(announced_instances).where(announced_instances.c.uid.in_(uids)))
    connection.execute(delete(announcements).where(old))


def _insert_instances(connection: Connection, uid: str, sop_instance_uids: Collection[str]) -> None:
    values = [{"uid": uid, "sop_instance_uid": sop} for sop in sorted(set(sop_instance_uids))]
    if values:
        connection.execute(insert(announced_instances), values)
