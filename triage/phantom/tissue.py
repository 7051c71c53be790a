"""Tissues, and the samples at which they are painted.

Shapes are painted over one another. Each is a layer: one tissue, and the share of every sample that
it covers. The share follows from the signed distance and the size of the sample, which gives
partial-volume effects without supersampling.
"""

from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]
Vector = NDArray[np.float64]  #: (3,)


class Tissue(IntEnum):
    """The tissue at a point; blood is distinguished by its location."""

    AIR = 0
    LUNG = 1
    FAT = 2
    MUSCLE = 3
    BONE = 4
    FLUID = 5  #: in the spinal canal
    LIVER = 6
    SPLEEN = 7
    STOMACH = 8
    MYOCARDIUM = 9
    PAPILLARY = 10
    SCAR = 11
    RIGHT_WALL = 12  #: thin walls: right ventricle, atria, vessels, valves
    LV = 13
    RV = 14
    LEFT_ATRIUM = 15
    RIGHT_ATRIUM = 16
    ASCENDING = 17  #: aortic root and ascending aorta
    DESCENDING = 18
    PULMONARY = 19  #: arteries and the vessels of the lung
    VEIN = 20
    STREAM = 21  #: blood that loses signal as it moves


class Layer(NamedTuple):
    """A tissue and the share of each sample that it covers; it is painted over earlier layers."""

    tissue: Tissue
    cover: Field


@dataclass(frozen=True)
class Samples:
    """Sample points and the size of one sample."""

    patient: Field  #: patient coordinates, (3, rows, columns)
    normal: Vector  #: unit normal of the plane
    edge_mm: float  #: size in the plane
    thickness_mm: float
    breath: tuple[float, float, float] = (0.0, 0.0, 0.0)  #: shift of heart and abdomen, LPS, mm

    @cached_property
    def inner(self) -> Field:
        """Coordinates within the organs that breathing moves, (3, rows, columns)."""
        return self.patient - np.array(self.breath, np.float32)[:, None, None]
