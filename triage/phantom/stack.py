"""Images of one sequence: a stack of positions, each with its phases."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]  #: (3,), millimetres in patient coordinates (LPS)


class PhantomSequence(StrEnum):
    """The sequences of a cardiac protocol."""

    CINE = "cine"
    LGE = "late enhancement"
    LOCALIZER = "localizer"
    TI_SCOUT = "TI scout"
    T1_MAP = "T1 map"
    T2_MAP = "T2 map"
    PERFUSION = "perfusion"
    FLOW = "flow"
    T2W = "T2-weighted"


class PhantomView(StrEnum):
    """The orientation of a plane in the heart or body."""

    SAX = "SAX"
    TWO_CHAMBER = "2CH"
    THREE_CHAMBER = "3CH"
    FOUR_CHAMBER = "4CH"
    AXIAL = "axial"
    CORONAL = "coronal"
    SAGITTAL = "sagittal"


@dataclass(frozen=True)
class PhantomSlice:
    """The images at one position."""

    position: Vector  #: centre of the first pixel
    pixels: NDArray[np.uint16]  #: (phases, rows, columns), 12 bits


@dataclass(frozen=True)
class PhantomStack:
    """One acquisition: parallel slices with the same phases, from the base if they are SAX."""

    sequence: PhantomSequence
    view: PhantomView
    row: Vector  #: unit vector along a row, to the right
    column: Vector  #: unit vector along a column, downwards
    pixel_mm: float  #: spacing of rows and of columns
    thickness_mm: float
    gap_mm: float  #: between slices
    times_ms: tuple[float, ...]  #: trigger time of each phase
    slices: tuple[PhantomSlice, ...]
    inversion_ms: float | None = None
    echo_ms: float = 1.5
    repetition_ms: float = 3.0
    flip_deg: float = 50.0
    velocity: bool = False  #: flow: phase images, not magnitude
