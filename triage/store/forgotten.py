"""Patients who were forgotten: what is kept of theirs afterwards would undo it.

Rule: asked within the transaction that would keep something. What is kept to know them by is a
digest of their key in the library, which leads back to nobody.
"""

import hashlib
from collections.abc import Collection

from sqlalchemy import Connection, delete, insert, select

from triage.store.schema import forgotten


def remember_forgotten(connection: Connection, patient: str) -> None:
    """Keep a patient out from now on."""
    connection.execute(delete(forgotten).where(forgotten.c.patient == _digest(patient)))
    connection.execute(insert(forgotten).values(patient=_digest(patient)))


def is_forgotten(connection: Connection, patients: Collection[str]) -> bool:
    """Tell whether any of these patients was forgotten."""
    query = select(forgotten.c.patient).where(forgotten.c.patient.in_(map(_digest, patients)))
    return connection.scalar(query.limit(1)) is not None


def _digest(patient: str) -> str:
    return hashlib.sha256(patient.encode()).hexdigest()
