"""Findings fitted from example cases, in the ledger's database.

A finding fitted from one example reveals that example (its mean is the example). So
`forget_patient` removes every fitting in which a patient's case took part, also from the database
files. For the log files of a PostgreSQL server see `vector_library`.
"""

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import ColumnElement, Connection, delete, insert, select

from triage.domain.errors import ConfigurationError
from triage.model.fitted import FittedFinding
from triage.store.database import Database, lock_until_commit, retry_on_conflict
from triage.store.forgotten import is_forgotten, remember_forgotten
from triage.store.schema import fittings

FITTINGS = "fittings"  #: the lock that serialises adding and removing


class SqlFittings:
    """The fitted findings of all bundles. Raises LedgerUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @retry_on_conflict
    def save(self, bundle: str, fitted: FittedFinding, patients: Collection[str]) -> None:
        """Store a finding fitted from these patients' cases, replacing an earlier fit.

        Raises:
            ConfigurationError: if one of the patients was forgotten in the meantime.
        """
        with self._database.writing() as connection:
            # A concurrent `forget_patient` runs before or after this transaction.
            lock_until_commit(connection, FITTINGS)
            if is_forgotten(connection, patients):
                raise ConfigurationError(
                    f"finding {fitted.finding}: an example is a case of a forgotten patient."
                    " Remove this example from the findings file"
                )
            connection.execute(delete(fittings).where(*_is_fitting(bundle, fitted.finding)))
            connection.execute(
                insert(fittings).values(
                    bundle=bundle,
                    finding=fitted.finding,
                    patients="".join(f"|{patient}|" for patient in sorted({*patients})),
                    content=fitted.model_dump_json(),
                )
            )

    def find_by_bundle(self, bundle: str) -> Mapping[str, FittedFinding]:
        """Return the fitted findings of a bundle by finding id."""
        with self._database.reading() as connection:
            query = select(fittings).where(fittings.c.bundle == bundle)
            return {
                row.finding: FittedFinding.model_validate_json(row.content)
                for row in connection.execute(query)
            }

    @retry_on_conflict
    def remove(self, bundle: str, finding: str) -> bool:
        """Remove a fitted finding. Returns whether it existed."""
        with self._database.writing() as connection:
            removed = connection.execute(delete(fittings).where(*_is_fitting(bundle, finding)))
            return removed.rowcount > 0

    @retry_on_conflict
    def forget_patient(self, patient: str) -> Sequence[str]:
        """Remove every finding fitted from a patient's cases. Returns the finding ids."""
        theirs = fittings.c.patients.contains(f"|{patient}|", autoescape=True)
        with self._database.writing() as connection:
            lock_until_commit(connection, FITTINGS)
            remember_forgotten(connection, patient)
            ids = connection.scalars(select(fittings.c.finding).where(theirs)).all()
            connection.execute(delete(fittings).where(theirs))
            _rewrite_table(connection)
        self._database.shred()
        return sorted({*ids})


def _rewrite_table(connection: Connection) -> None:
    """Rewrite the table's files on PostgreSQL; SQLite overwrites deleted rows itself.

    A type that is computed, even if to the same, rewrites the table (ALTER TABLE, Notes).
    """
    if connection.dialect.name == "postgresql":
        computed = "ALTER content TYPE text USING content || ''"
        connection.exec_driver_sql(f"ALTER TABLE {fittings.name} {computed}")


def _is_fitting(bundle: str, finding: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return fittings.c.bundle == bundle, fittings.c.finding == finding
