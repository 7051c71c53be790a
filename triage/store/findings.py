"""The versions of findings, in the ledger's database (`ports.findings`)."""

from collections.abc import Sequence

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import Connection, Row, func, insert, select

from triage.crash_points import ChangePoint, mark_reached
from triage.domain.calibration import SiteCalibration
from triage.domain.errors import ConfigurationError
from triage.domain.finding_version import (
    ChangeNote,
    FindingChange,
    FindingState,
    FindingVersion,
)
from triage.store.database import Database, lock_until_commit, retry_on_conflict
from triage.store.schema import finding_versions

FINDINGS = "findings"  #: the lock that serialises changes
CALIBRATION = TypeAdapter(SiteCalibration)  #: the form of the column, as JSON


class SqlFindings:
    """All versions of all findings. Raises LedgerUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def close(self) -> None:
        """Close all connections."""
        self._database.close()

    def get_revision(self) -> int:
        """Return the id of the last version, 0 if there is none."""
        with self._database.reading() as connection:
            return _read_revision(connection)

    def list_versions(self) -> Sequence[FindingVersion]:
        """Return all versions, oldest first.

        Raises ConfigurationError for a calibration that only another release can read.
        """
        query = select(finding_versions).order_by(finding_versions.c.id)
        with self._database.reading() as connection:
            return [_to_version(row) for row in connection.execute(query)]

    @retry_on_conflict
    def append(self, versions: Sequence[FindingVersion], revision: int) -> bool:
        """Append the versions of one change if the revision is still `revision`."""
        with self._database.writing() as connection:
            lock_until_commit(connection, FINDINGS)
            if _read_revision(connection) != revision:
                return False
            for version in versions:
                connection.execute(insert(finding_versions).values(_to_row(version)))
                mark_reached(ChangePoint.WRITTEN)
        mark_reached(ChangePoint.COMMITTED)
        return True


def _read_revision(connection: Connection) -> int:
    return connection.scalar(select(func.max(finding_versions.c.id))) or 0


def _to_row(version: FindingVersion) -> dict[str, object]:
    return {
        "finding": version.finding,
        "number": version.number,
        "change": version.change,
        "state": version.state,
        "reported": version.reported,
        "content": version.content,
        "digest": version.digest,
        "author": version.note.author,
        "at": version.note.at,
        "comment": version.note.comment,
        "asked_by": version.asked_by,
        "calibration": _write_calibration(version.calibration),
    }


def _to_version(row: Row[tuple[object, ...]]) -> FindingVersion:
    return FindingVersion(
        finding=row.finding,
        number=row.number,
        change=FindingChange(row.change),
        state=FindingState(row.state),
        content=row.content,
        reported=row.reported,
        note=ChangeNote(row.author, row.at, row.comment),
        asked_by=row.asked_by,
        calibration=_read_calibration(row),
    )


def _write_calibration(calibration: SiteCalibration | None) -> str | None:
    return None if calibration is None else CALIBRATION.dump_json(calibration).decode()


def _read_calibration(row: Row[tuple[object, ...]]) -> SiteCalibration | None:
    if row.calibration is None:
        return None
    try:
        return CALIBRATION.validate_json(row.calibration)
    except ValidationError:
        raise ConfigurationError(
            f"finding {row.finding}, version {row.number}: another release has written its "
            "calibration, and this one cannot read it"
        ) from None
