"""Fictitious patients that fit drawn hearts."""

from dataclasses import dataclass

import numpy as np

from triage.phantom.heart import Heart, Sex


@dataclass(frozen=True)
class PhantomPatient:
    """A fictitious patient: a number, and a body that fits the drawn heart."""

    number: int
    sex: Sex
    age_years: int
    size_m: float
    weight_kg: float


def draw_patient(heart: Heart) -> PhantomPatient:
    """Return a fictitious patient with the heart's body surface (Mosteller 1987)."""
    rng = np.random.default_rng([heart.seed, 2])
    typical_m, typical_m2 = (1.78, 2.0) if heart.sex is Sex.MALE else (1.65, 1.72)
    size_m = typical_m + 0.15 * (heart.body_surface_m2 - typical_m2) + float(rng.normal(0, 0.03))
    weight_kg = 36 * heart.body_surface_m2**2 / size_m
    age = int(rng.integers(20, 85))
    return PhantomPatient(heart.seed, heart.sex, age, round(size_m, 2), round(weight_kg, 1))
