"""What was fitted from examples, kept in the ledger's database.

Rule: the mean of one example is that example; so what was fitted from a patient's case goes when
the patient is forgotten, and leaves nothing in the files; of the log of a server on PostgreSQL
see `vector_library`.
"""

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import ColumnElement, Connection, delete, insert, select

from triage.domain.errors import ConfigurationError
from triage.model.fitted import Fitted
from triage.store.database import Database, lock_until_commit, retry_on_conflict
from triage.store.forgotten import is_forgotten, remember_forgotten
from triage.store.schema import fittings

FITTINGS = "fittings"  #: what one at a time adds to, or takes from


class SqlFittings:
    """The fitted findings of all bundles. Raises LedgerUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @retry_on_conflict
    def keep(self, bundle: str, fitted: Fitted, patients: Collection[str]) -> None:
        """Keep what was fitted from the cases of these patients, in place of what there was.

        Raises ConfigurationError where one of them was forgotten meanwhile.
        """
        with self._database.writing() as connection:
            lock_until_commit(connection, FITTINGS)  # `forget` must see it, or be seen
            if is_forgotten(connection, patients):
                raise ConfigurationError(
                    f"finding {fitted.finding}: an example is of a patient who was forgotten;"
                    " take it out"
                )
            connection.execute(delete(fittings).where(*_of(bundle, fitted.finding)))
            connection.execute(
                insert(fittings).values(
                    bundle=bundle,
                    finding=fitted.finding,
                    patients="".join(f"|{each}|" for each in sorted({*patients})),
                    content=fitted.model_dump_json(),
                )
            )

    def of_bundle(self, bundle: str) -> Mapping[str, Fitted]:
        """Return what was fitted for a bundle, by finding's id."""
        with self._database.reading() as connection:
            query = select(fittings).where(fittings.c.bundle == bundle)
            return {
                each.finding: Fitted.model_validate_json(each.content)
                for each in connection.execute(query)
            }

    @retry_on_conflict
    def drop(self, bundle: str, finding: str) -> bool:
        """Remove what was fitted for a finding; tell whether there was anything."""
        with self._database.writing() as connection:
            gone = connection.execute(delete(fittings).where(*_of(bundle, finding)))
            return gone.rowcount > 0

    @retry_on_conflict
    def forget(self, patient: str) -> Sequence[str]:
        """Remove all that was fitted from a patient's cases; return the findings' ids."""
        theirs = fittings.c.patients.contains(f"|{patient}|", autoescape=True)
        with self._database.writing() as connection:
            lock_until_commit(connection, FITTINGS)
            remember_forgotten(connection, patient)
            ids = connection.scalars(select(fittings.c.finding).where(theirs)).all()
            connection.execute(delete(fittings).where(theirs))
            _write_anew(connection)
        self._database.shred()
        return sorted({*ids})


def _write_anew(connection: Connection) -> None:
    """Write the table without what was removed; SQLite overwrites that as it goes.

    A type that is computed, even if to the same, has it written anew (ALTER TABLE, Notes).
    """
    if connection.dialect.name == "postgresql":
        computed = "ALTER content TYPE text USING content || ''"
        connection.exec_driver_sql(f"ALTER TABLE {fittings.name} {computed}")


def _of(bundle: str, finding: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return fittings.c.bundle == bundle, fittings.c.finding == finding
