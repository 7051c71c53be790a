"""Differences between chests besides the heart: fluid, wires, and how bright each organ is."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from triage.phantom.tissue import Tissue

Signals = NDArray[np.float64]  #: of each tissue
EFFUSION_SHARE = 0.12  #: of patients who have fluid in the pericardium
PLEURAL_SHARE = 0.08
WIRED_SHARE = 0.08  #: of patients whose sternum was opened once
#: Deviation of the logarithm of an organ's signal between patients and protocols.
VARIETY: Mapping[Tissue, float] = {
    Tissue.LUNG: 0.4,
    Tissue.FAT: 0.3,
    Tissue.MUSCLE: 0.3,
    Tissue.BONE: 0.3,
    Tissue.LIVER: 0.35,
    Tissue.SPLEEN: 0.3,
    Tissue.STOMACH: 0.7,
    Tissue.PULMONARY: 0.15,
    Tissue.VEIN: 0.15,
}


@dataclass(frozen=True)
class Habitus:
    """The chest of one patient."""

    dome_mm: float  #: height of the diaphragm's left dome
    effusion_mm: float  #: of the pericardium, 0 without
    pleural_mm: float  #: height of the fluid behind the lungs, 0 without
    wire_mm: float  #: radius of the signal void around each sternal wire, 0 without


def draw_habitus(rng: Generator) -> Habitus:
    """Draw what a chest has besides its organs."""
    effusion, pleural, wires = rng.random(3)
    return Habitus(
        dome_mm=float(rng.uniform(22, 48)),
        effusion_mm=float(rng.uniform(2, 9)) if effusion < EFFUSION_SHARE else 0.0,
        pleural_mm=float(rng.uniform(10, 45)) if pleural < PLEURAL_SHARE else 0.0,
        wire_mm=float(rng.uniform(4, 9)) if wires < WIRED_SHARE else 0.0,
    )


def vary_signals(table: Signals, rng: Generator) -> None:
    """Change the signals of organs (tissues,) in place, as between patients and protocols."""
    for tissue, deviation in VARIETY.items():
        table[tissue] *= np.exp(rng.normal(0, deviation))
