"""A small cardiac study with realistic planes, in the style of three vendors.

Pixels are a disc that beats, cheap enough for property tests, and the same for every vendor.
"""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
from pydicom import Dataset
from pydicom.uid import generate_uid

from tests.builders.images import part10
from tests.builders.mutations import DrawnStudy, draw
from tests.builders.mutations.additions import EXTRAS
from triage.dicom.header import read_header
from triage.imaging.clip import find_heart_centre, prepare_view
from triage.imaging.series import Image, Selection, select_views
from triage.model.bundle import ClipForm
from triage.phantom.dicom import DicomForm, build_datasets, draw_patient
from triage.phantom.habits import Vendor
from triage.phantom.heart import draw_heart
from triage.phantom.stack import PhantomSequence as Kind
from triage.phantom.stack import PhantomSlice, PhantomStack, PhantomView
from triage.ports.encoder import Frames

VIEWS = ("cine_lax", "cine_sa", "lge_sa", "lge_lax", "lge_2ch", "lge_3ch")
FORM = ClipForm(frames=64, height=24, width=24)
SIDE, PIXEL_MM, SLICES, PHASES = 24, 8.0, 6, 12
APEX = np.array([0.5, -0.62, -0.6]) / np.linalg.norm([0.5, -0.62, -0.6])
#: Turn of the planes about the axis, as on the scanner.
TURNS_DEG = {
    PhantomView.FOUR_CHAMBER: 5.0,
    PhantomView.TWO_CHAMBER: 72.0,
    PhantomView.THREE_CHAMBER: 132.0,
}
MIDDLE = np.array([15.0, 10.0, -50.0])


def stacks() -> list[PhantomStack]:
    """Return a short-axis stack and three long axes, as cine and late enhancement."""
    times = tuple(60.0 * phase for phase in range(PHASES))
    cines = [_stack(view, times) for view in (PhantomView.SAX, *TURNS_DEG)]
    late = [replace(_stack(each.view, (600.0,)), sequence=Kind.LGE) for each in cines]
    return [*cines, *(replace(each, inversion_ms=290.0) for each in late)]


def flow_stacks(view: PhantomView, **values: Any) -> list[PhantomStack]:
    """Return magnitude and phase images of flow through the plane of a view."""
    timing = {"echo_ms": 2.5, "repetition_ms": 5.0, "flip_deg": 15.0} | values
    magnitude = replace(
        _stack(view, tuple(60.0 * phase for phase in range(PHASES))), sequence=Kind.FLOW, **timing
    )
    return [magnitude, replace(magnitude, velocity=True)]


def extra_stacks(kind: Kind) -> list[PhantomStack]:
    """Return the images of a sequence other than cine and late enhancement."""
    if kind is Kind.FLOW:
        return flow_stacks(PhantomView.FOUR_CHAMBER)
    times = {
        Kind.TI_SCOUT: tuple(80.0 + 45 * image for image in range(PHASES)),
        Kind.PERFUSION: tuple(800.0 * beat for beat in range(40)),
    }
    one = _stack(PhantomView.SAX, times.get(kind, (0.0,)))
    return [replace(one, sequence=kind, slices=one.slices[:3], echo_ms=1.1)]


def _stack(view: PhantomView, times_ms: tuple[float, ...]) -> PhantomStack:
    row, column = _directions(view)
    corner = MIDDLE - (row + column) * (SIDE - 1) / 2 * PIXEL_MM
    step = np.cross(row, column) * 10.0
    count = SLICES if view is PhantomView.SAX else 1
    return PhantomStack(
        Kind.CINE,
        view,
        row,
        column,
        pixel_mm=PIXEL_MM,
        thickness_mm=8.0,
        gap_mm=2.0,
        times_ms=times_ms,
        slices=tuple(
            PhantomSlice(corner + step * (depth - count // 2), _beating(depth, len(times_ms)))
            for depth in range(count)
        ),
    )


def _directions(view: PhantomView) -> tuple[np.ndarray, np.ndarray]:
    left = np.array([1.0, 0.0, 0.0]) - APEX[0] * APEX
    left /= np.linalg.norm(left)
    up = np.cross(APEX, left)
    if view is PhantomView.SAX:
        return left, -up
    turn = np.radians(TURNS_DEG[view])
    return np.cos(turn) * left + np.sin(turn) * up, APEX


def _beating(depth: int, phases: int) -> np.ndarray:
    y, x = np.mgrid[:SIDE, :SIDE] - SIDE / 2
    radii = 7 - depth / 2 + 2 * np.cos(2 * np.pi * np.arange(phases) / phases)
    inside = np.hypot(x, y) < radii[:, None, None]
    pixels: np.ndarray = (100 + 40 * depth + 800 * inside + 20 * (x + SIDE)).astype(np.uint16)
    return pixels


def instances(
    vendor: Vendor,
    *,
    enhanced: bool = False,
    seed: int = 1,
    extra: Sequence[PhantomStack] = (),
) -> list[Dataset]:
    """Return the study as one vendor's instances; `extra` stacks come last."""
    form = DicomForm(vendor, enhanced)
    patient = draw_patient(draw_heart(seed))
    return list(build_datasets([*stacks(), *extra], patient, form, seed))


def drawn(vendor: Vendor) -> DrawnStudy:
    """Return the study of one vendor, with the sequences that may be added to it."""
    study = instances(vendor)
    own = {str(dataset.SOPInstanceUID) for dataset in study}
    extras = {
        kind: [
            dataset
            for dataset in instances(vendor, extra=extra_stacks(kind))
            if str(dataset.SOPInstanceUID) not in own
        ]
        for kind in EXTRAS
    }
    return draw(study, extras, VIEWS)


def selected(study: Sequence[Dataset]) -> Selection:
    """Return the selection from instances that came in this order."""
    return select_views([Image(f"{n:05d}", each) for n, each in enumerate(study)], VIEWS)


def frames(study: Sequence[Dataset]) -> dict[str, Frames]:
    """Return the frames of every view of instances that came in this order, through files."""
    files = {f"{n:05d}": part10(each) for n, each in enumerate(study)}
    images = [Image(path, read_header(content)) for path, content in files.items()]
    used = select_views(images, VIEWS).used
    heart = find_heart_centre(used)
    return {each.view: prepare_view(each, FORM, heart, files.__getitem__) for each in used}


def concatenated(instance: Dataset, parts: int) -> list[Dataset]:
    """Return an Enhanced MR image as the instances of a concatenation (PS3.3 C.7.6.16.2.2.4)."""
    groups = list(instance.PerFrameFunctionalGroupsSequence)
    size = len(instance.PixelData) // len(groups)
    edges = np.linspace(0, len(groups), parts + 1).astype(int).tolist()
    found = []
    for number, (begin, end) in enumerate(pairwise(edges), start=1):
        part = deepcopy(instance)
        part.SOPInstanceUID = generate_uid(entropy_srcs=[instance.SOPInstanceUID, str(number)])
        part.file_meta.MediaStorageSOPInstanceUID = part.SOPInstanceUID
        part.ConcatenationUID = generate_uid(entropy_srcs=[instance.SOPInstanceUID])
        part.InConcatenationNumber, part.InConcatenationTotalNumber = number, parts
        part.ConcatenationFrameOffsetNumber = begin
        part.NumberOfFrames = end - begin
        part.PerFrameFunctionalGroupsSequence = groups[begin:end]
        part.PixelData = instance.PixelData[begin * size : end * size]
        found.append(part)
    return found
