"""Splits pairs by patient, so that no study of a held-out patient is in the training.

A hash of the patient's pseudonym decides. So a patient who is held out once stays held out, also
when a site adds studies and adapts again.
"""

import hashlib

import numpy as np
from numpy.typing import NDArray

from export.pairs import Pairs
from triage.domain.errors import ConfigurationError

LEAST_HELD_OUT = 5  #: patients, below which a loss is of single cases
BYTES = 8  #: of the hash


def split_patients(pairs: Pairs, share: float) -> tuple[Pairs, Pairs]:
    """Return the pairs to train with and the held-out ones, of about `share` of the patients.

    Raises ConfigurationError if there are too few patients to hold some out.
    """
    patients = pairs.patients()
    held = np.array([is_held_out(patient, share) for patient in patients], bool)
    few = len({*np.array(patients)[held]})
    if few < LEAST_HELD_OUT or held.all():
        raise ConfigurationError(
            f"{few} of {len({*patients})} patients are held out, and at least {LEAST_HELD_OUT} must"
            " be, and others train: bring studies of more patients, or change stopping.held_out in"
            " the recipe. If all studies have the same patient, their Patient ID was replaced:"
            " state a key of each patient in the table of `pairs --reports`"
        )
    training, held_out = _rows(~held), _rows(held)
    return pairs.subset(training), pairs.subset(held_out)


def is_held_out(patient: str, share: float) -> bool:
    """Return whether a patient is one of this share, which depends on no other patient."""
    digest = hashlib.sha256(patient.encode()).digest()
    return bool(int.from_bytes(digest[:BYTES]) < share * 256**BYTES)


def _rows(chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
    return np.flatnonzero(chosen)
