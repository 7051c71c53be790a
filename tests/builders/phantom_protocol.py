"""Studies of random pixels with the geometry of a protocol, as DICOM of three vendors."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from pydicom import Dataset

from triage.phantom.dicom import DicomForm, build_datasets, draw_patient
from triage.phantom.habits import Vendor
from triage.phantom.heart import draw_heart
from triage.phantom.stack import PhantomSequence as Kind
from triage.phantom.stack import PhantomSlice, PhantomStack, PhantomView, Vector

VENDORS = tuple(Vendor)
LONG_AXES = (PhantomView.FOUR_CHAMBER, PhantomView.TWO_CHAMBER, PhantomView.THREE_CHAMBER)
PHASES = tuple(80.0 * phase for phase in range(12))
SAX_SLICES = 9

#: From base to apex, to the patient's left, front and feet; four-chamber planes hold it and run
#: from right to left, two- and three-chamber planes are turned about it by 90 and 60 degrees.
AXIS = np.array([0.55, -0.6, -0.58]) / np.linalg.norm([0.55, -0.6, -0.58])
ACROSS = np.cross(AXIS, [0.0, -0.6, 0.8])
ACROSS /= np.linalg.norm(ACROSS)
TURNS_DEG = {
    PhantomView.FOUR_CHAMBER: 0.0,
    PhantomView.TWO_CHAMBER: 90.0,
    PhantomView.THREE_CHAMBER: 60.0,
}
AXES = {PhantomView.AXIAL: (0, 1), PhantomView.CORONAL: (0, 2), PhantomView.SAGITTAL: (1, 2)}


def directions(view: PhantomView) -> tuple[Vector, Vector]:
    up = np.cross(AXIS, ACROSS)
    if view is PhantomView.SAX:
        return ACROSS, up
    if view in TURNS_DEG:
        turn = np.radians(TURNS_DEG[view])
        return np.cos(turn) * ACROSS + np.sin(turn) * up, AXIS
    unit = np.eye(3)
    return unit[AXES[view][0]], unit[AXES[view][1]]


def stack(
    kind: Kind,
    view: PhantomView,
    slices: int = 1,
    times_ms: Sequence[float] = (600.0,),
    side: int = 16,
) -> PhantomStack:
    row, column = directions(view)
    rng = np.random.default_rng([slices, len(times_ms)])
    step = np.cross(row, column) * 10.0
    corner = -(row + column) * side / 2
    return PhantomStack(
        kind,
        view,
        row,
        column,
        pixel_mm=1.4,
        thickness_mm=8.0,
        gap_mm=2.0,
        times_ms=tuple(times_ms),
        slices=tuple(
            PhantomSlice(
                corner + step * (depth - slices // 2),
                rng.integers(0, 4096, (len(times_ms), side, side)).astype(np.uint16),
            )
            for depth in range(slices)
        ),
        inversion_ms=285.0 if kind is Kind.LGE else None,
    )


def velocity(magnitude: PhantomStack) -> PhantomStack:
    return replace(magnitude, velocity=True)


def protocol(side: int = 16) -> list[PhantomStack]:
    flow = stack(Kind.FLOW, PhantomView.AXIAL, times_ms=PHASES, side=side)
    minute = [800.0 * beat for beat in range(12)]
    return [
        *(stack(Kind.LOCALIZER, view, side=side) for view in AXES),
        *(stack(Kind.CINE, view, times_ms=PHASES, side=side) for view in LONG_AXES),
        stack(Kind.CINE, PhantomView.SAX, SAX_SLICES, PHASES, side=side),
        flow,
        velocity(flow),
        stack(Kind.T1_MAP, PhantomView.SAX, side=side),
        stack(Kind.T2_MAP, PhantomView.SAX, side=side),
        stack(Kind.T2W, PhantomView.SAX, 3, side=side),
        stack(Kind.PERFUSION, PhantomView.SAX, 3, minute, side=side),
        stack(Kind.TI_SCOUT, PhantomView.SAX, times_ms=PHASES, side=side),
        stack(Kind.LGE, PhantomView.SAX, SAX_SLICES, side=side),
        *(stack(Kind.LGE, view, side=side) for view in LONG_AXES),
    ]


def study(vendor: Vendor, seed: int = 1, *, enhanced: bool = False) -> list[Dataset]:
    patient = draw_patient(draw_heart(seed))
    return list(build_datasets(protocol(), patient, DicomForm(vendor, enhanced), seed))
