"""Patients that were removed on request and must not be stored again.

Both functions run inside the transaction that stores or removes data. Only a digest of the
patient's library key is kept, from which the patient cannot be identified.
"""

import hashlib
from collections.abc import Collection

from sqlalchemy import Connection, delete, insert, select

from triage.store.schema import forgotten


def remember_forgotten(connection: Connection, patient: str) -> None:
    """Exclude a patient from storage from now on."""
    connection.execute(delete(forgotten).where(forgotten.c.patient == _digest(patient)))
    connection.execute(insert(forgotten).values(patient=_digest(patient)))


def is_forgotten(connection: Connection, patients: Collection[str]) -> bool:
    """Return whether any of these patients was removed on request."""
    query = select(forgotten.c.patient).where(forgotten.c.patient.in_(map(_digest, patients)))
    return connection.scalar(query.limit(1)) is not None


def _digest(patient: str) -> str:
    return hashlib.sha256(patient.encode()).hexdigest()
