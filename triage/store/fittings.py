"""What was fitted from examples, kept in the ledger's database.

Rule: the mean of one example is that example; so what was fitted from a patient's case goes when
the patient is forgotten, and leaves nothing in the files.
"""

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import ColumnElement, delete, insert, select

from triage.domain.errors import ConfigurationError
from triage.model.fitted import Fitted
from triage.store.database import Database
from triage.store.forgotten import is_forgotten, remember_forgotten
from triage.store.schema import fittings


class SqlFittings:
    """The fitted findings of all bundles. Raises LedgerUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def keep(self, bundle: str, fitted: Fitted, patients: Collection[str]) -> None:
        """Keep what was fitted from the cases of these patients, in place of what there was.

        Raises ConfigurationError where one of them was forgotten meanwhile.
        """
        with self._database.writing() as connection:
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

    def drop(self, bundle: str, finding: str) -> bool:
        """Remove what was fitted for a finding; tell whether there was anything."""
        with self._database.writing() as connection:
            gone = connection.execute(delete(fittings).where(*_of(bundle, finding)))
            return gone.rowcount > 0

    def forget(self, patient: str) -> Sequence[str]:
        """Remove all that was fitted from a patient's cases; return the findings' ids."""
        theirs = fittings.c.patients.contains(f"|{patient}|", autoescape=True)
        with self._database.writing() as connection:
            remember_forgotten(connection, patient)
            ids = connection.scalars(select(fittings.c.finding).where(theirs)).all()
            connection.execute(delete(fittings).where(theirs))
        self._database.shred()
        return sorted({*ids})


def _of(bundle: str, finding: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return fittings.c.bundle == bundle, fittings.c.finding == finding
