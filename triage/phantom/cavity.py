"""Contents of the left ventricular cavity: papillary muscles, trabeculae, and its flow.

Papillary muscles and trabeculae keep their volume, so they fill an ever larger share of the cavity
as it empties; at end systole they merge with one another and with the wall, and the blood that is
left is a star. The cavity of the drawn numbers includes them, as contours drawn along the compact
wall do (Kawel-Boehm et al., J Cardiovasc Magn Reson 2020;22:87).
"""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from triage.phantom.segments import ANGLES, LEVELS, angles
from triage.phantom.tissue import Field

#: Angles of the two groups of papillary muscles around the long axis, degrees.
PAPILLARY_DEG = (30.0, 255.0)
RIDGES = (3, 11)  #: least and most trabeculae around the cavity
#: Share of the papillary muscles' height at which they begin and end, of the cavity's length.
PAPILLARY_REACH = (0.26, 0.82)


@dataclass(frozen=True)
class PapillaryHead:
    """One muscle from the wall near the apex towards the mitral plane."""

    degrees: float
    size: float  #: of its radius, 1 usual
    away: float  #: from the axis, as a share of the cavity's radius at half the length


@dataclass(frozen=True)
class CavityRelief:
    """The muscles within the cavity of one heart."""

    heads: tuple[PapillaryHead, ...]
    ridges: Field  #: depth of the trabeculae at end diastole, mm, (LEVELS, ANGLES)
    stream: float  #: darkness of moving blood at most, as a share


def draw_relief(rng: Generator) -> CavityRelief:
    """Draw the muscles within a cavity."""
    heads = tuple(
        PapillaryHead(
            degrees + float(rng.normal(0, 9)) + lobe * float(rng.uniform(14, 26)),
            float(rng.uniform(0.6, 1.3)),
            float(rng.uniform(0.42, 0.58)),
        )
        for degrees in PAPILLARY_DEG
        for lobe in range(int(rng.integers(1, 3)))
    )
    return CavityRelief(heads, _draw_ridges(rng), float(rng.uniform(0, 0.35)))


def _draw_ridges(rng: Generator) -> Field:
    """Return the depth of the trabeculae; there are more of them towards the apex."""
    level = ((np.arange(LEVELS) + 0.5) / LEVELS)[:, None]
    wave = np.zeros((LEVELS, ANGLES))
    for turns in range(*RIDGES):
        lean = rng.normal(0, 6)  # how far a ridge winds around the axis on its way to the apex
        ridge = np.cos(turns * angles() + lean * level + rng.uniform(0, 2 * np.pi))
        wave += rng.normal() / np.sqrt(turns) * ridge
    wave /= wave.std()
    depth = rng.uniform(0.4, 2.3) * (0.5 + level) * np.clip(0.8 + 0.7 * wave, 0, 2.6)
    return np.asarray(depth, np.float32)
