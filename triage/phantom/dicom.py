"""Stacks become a DICOM study in the header habits of a vendor, classic or Enhanced MR.

Rule: a header follows from the stack, the patient and the seed alone. The drawn heart is not known
here, so that no header can tell what the images show; the truth travels in a sidecar.

Sources: PS3.3 A.4 and A.36 (MR, Enhanced MR); header habits as seen in public files of the three
vendors (biv-me, Sunnybrook Cardiac Data, CAP) and names as listed by cmr_toolkit and ukbb_cardiac:
one slice of a cine per series on Siemens, all in one on GE and Philips; GE writes InversionTime 0
on cine; Philips calls originals DERIVED and mixes three kinds of flow image in one series.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from math import isfinite
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.tag import Tag
from pydicom.uid import (
    UID,
    EnhancedMRImageStorage,
    ExplicitVRLittleEndian,
    MRImageStorage,
)

from triage.phantom.habits import (
    HABITS,
    LINES,
    NAMES,
    SCANNERS,
    SIEMENS_ALONE,
    UNGATED,
    Habit,
    Name,
    Vendor,
)
from triage.phantom.heart import Heart, Sex, derive_truth
from triage.phantom.stack import PhantomSequence as Kind
from triage.phantom.stack import PhantomSlice, PhantomStack, PhantomView

T = TypeVar("T")
TRUTH = "truth.json"  #: the sidecar
Stored = NDArray[np.uint16] | NDArray[np.int16]  #: (rows, columns)


@dataclass(frozen=True)
class DicomForm:
    """How a study is written: in whose habits, classic or enhanced, at which field strength."""

    vendor: Vendor
    enhanced: bool = False  #: Enhanced MR, one multi-frame instance per series, not classic MR
    tesla: float = 1.5
    #: Classic MR with the habits, too, that PS3.3 C.8.3.1 forbids: GE's InversionTime 0 without
    #: inversion, TriggerTime where ScanOptions names no gating.
    quirks: bool = False


@dataclass(frozen=True)
class PhantomPatient:
    """Nobody: a number, and a body that fits the drawn heart."""

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


# -- series


class PhantomFrame(NamedTuple):
    """One image of a series."""

    stack: PhantomStack
    at: PhantomSlice
    depth: int  #: index of the slice in its stack
    phase: int
    kind: str = "M"  #: M magnitude, P velocity, A the anatomy beside them (Philips flow)


class PhantomSeries(NamedTuple):
    """The images that one series holds, in the order of their instance numbers."""

    name: str
    habit: Habit
    frames: tuple[PhantomFrame, ...]

    @property
    def stack(self) -> PhantomStack:
        """What all images have in common, or nearly so (localizers: the first plane)."""
        return self.frames[0].stack


def plan_series(
    stacks: Sequence[PhantomStack], vendor: Vendor, rng: Generator
) -> list[PhantomSeries]:
    """Divide stacks into series and name them as a site with this vendor's scanner would."""
    names = {kind: _one(rng, choices) for kind, choices in NAMES[vendor].items()}
    habits = {kind: _one(rng, choices) for kind, choices in HABITS[vendor].items()}
    return [
        PhantomSeries(
            _name(names[frames[0].stack.sequence], frames[0], vendor),
            habits[frames[0].stack.sequence],
            frames,
        )
        for together in _together(stacks, vendor)
        for frames in _frames(together, vendor)
    ]


def _one(rng: Generator, choices: Sequence[T]) -> T:
    return choices[int(rng.integers(len(choices)))]


def _together(stacks: Sequence[PhantomStack], vendor: Vendor) -> list[list[PhantomStack]]:
    """Join the planes of a localizer and, but for Siemens, the kinds of a flow measurement."""
    joined = {Kind.LOCALIZER} if vendor is Vendor.SIEMENS else {Kind.LOCALIZER, Kind.FLOW}
    groups: list[list[PhantomStack]] = []
    for stack in stacks:
        if groups and stack.sequence in joined and _alike(stack, groups[-1][0]):
            groups[-1].append(stack)
        else:
            groups.append([stack])
    return groups


def _alike(a: PhantomStack, b: PhantomStack) -> bool:
    return a.sequence is b.sequence and a.slices[0].pixels.shape == b.slices[0].pixels.shape


def _frames(stacks: list[PhantomStack], vendor: Vendor) -> list[tuple[PhantomFrame, ...]]:
    frames = [
        PhantomFrame(stack, at, depth, phase, kind)
        for stack in stacks
        for kind in _kinds(stack, vendor)
        for depth, at in enumerate(stack.slices)
        for phase in range(len(stack.times_ms))
    ]
    if vendor is Vendor.SIEMENS and stacks[0].sequence in SIEMENS_ALONE:
        return [
            tuple(frame for frame in frames if frame.depth == depth)
            for depth in range(len(stacks[0].slices))
        ]
    if vendor is Vendor.PHILIPS:  # numbers its images phase by phase
        frames.sort(key=lambda frame: frame.phase)
    return [tuple(frames)]


def _kinds(stack: PhantomStack, vendor: Vendor) -> tuple[str, ...]:
    if stack.sequence is Kind.FLOW and stack.velocity:
        return ("P",)
    if stack.sequence is Kind.FLOW and vendor is Vendor.PHILIPS:
        return ("A", "M")
    return ("M",)


def _name(name: Name, frame: PhantomFrame, vendor: Vendor) -> str:
    stack = frame.stack
    suffix = f"_b{frame.depth + 1}" if stack.view is PhantomView.SAX else ""
    inversion_ms = 10 * round((stack.inversion_ms or 300) / 10)
    text = name.text.format(view=name.views[stack.view], _b=suffix, ti=inversion_ms)
    if vendor is Vendor.SIEMENS and stack.velocity:
        return f"{text}_P"
    return text.rstrip()


# -- data sets


class PhantomStudy(NamedTuple):
    """What all data sets of a study share."""

    form: DicomForm
    patient: PhantomPatient
    key: str  #: from which its UIDs follow
    begin: datetime
    interval_ms: int  #: from beat to beat
    model: str
    software: str

    def uid(self, *parts: object) -> UID:
        """Return the UID of a part of this study: 2.25 and the first 128 bits of a SHA-256."""
        digest = hashlib.sha256(repr((self.key, *parts)).encode()).digest()
        return UID(f"2.25.{int.from_bytes(digest[:16])}")


def build_datasets(
    stacks: Sequence[PhantomStack], patient: PhantomPatient, form: DicomForm, seed: int
) -> Iterator[Dataset]:
    """Yield the instances of a study, with file meta: one per image, or one per series if enhanced.

    Args:
        stacks: What was acquired, in this order.
        patient: Whom the headers name.
        form: Whose habits the headers have, classic or enhanced.
        seed: Decides names, times and UIDs; the same seed gives the same headers.
    """
    rng = np.random.default_rng([seed, 3])
    model, software = _one(rng, SCANNERS[form.vendor].models)
    begin = datetime(2015, 1, 1, 7) + timedelta(  # noqa: DTZ001 - a scanner's local time
        days=int(rng.integers(3650)), seconds=int(rng.integers(36000))
    )
    key = f"{seed} {form.vendor} {form.enhanced}"
    study = PhantomStudy(form, patient, key, begin, _interval_ms(stacks), model, software)
    at = begin
    for number, series in enumerate(plan_series(stacks, form.vendor, rng), start=1):
        at += timedelta(seconds=float(rng.uniform(15, 90)))
        yield from (_enhanced if form.enhanced else _classic)(study, series, number, at)


def _interval_ms(stacks: Sequence[PhantomStack]) -> int:
    """The heartbeat that the phases of the first cine span."""
    for stack in stacks:
        times = stack.times_ms
        if stack.sequence is Kind.CINE and len(times) > 1:
            return round(times[-1] + times[1] - times[0])
    return 1000


def _general(study: PhantomStudy, series: PhantomSeries, number: int, at: datetime) -> Dataset:
    """Return what all instances of a series share, classic or enhanced."""
    header = Dataset()
    header.SpecificCharacterSet = "ISO_IR 100"
    header.StudyDate, header.StudyTime = _date(study.begin), _time(study.begin)
    header.SeriesDate, header.SeriesTime = _date(at), _time(at)
    header.AccessionNumber = f"PH{study.patient.number:08d}"[:16]
    header.Modality = "MR"
    header.Manufacturer = str(study.form.vendor)
    header.InstitutionName = "Phantom Hospital"
    header.ReferringPhysicianName = ""
    header.StationName = "PHANTOM"
    header.StudyDescription = "Cardiac MR"
    header.SeriesDescription = series.name
    header.ManufacturerModelName = study.model
    header.PatientName = f"Phantom^{study.patient.number:07d}"
    header.PatientID = f"PHANTOM-{study.patient.number:07d}"
    header.PatientBirthDate = f"{study.begin.year - study.patient.age_years}0101"
    header.PatientSex = str(study.patient.sex)
    header.PatientAge = f"{study.patient.age_years:03d}Y"
    header.PatientSize = _ds(study.patient.size_m)
    header.PatientWeight = _ds(study.patient.weight_kg)
    if body_part := SCANNERS[study.form.vendor].body_part:
        header.BodyPartExamined = body_part
    elif not study.form.enhanced:
        header.Laterality = ""  # Type 2C where no body part says that it is not paired
    header.MagneticFieldStrength = _ds(study.form.tesla)
    header.DeviceSerialNumber = "00000"
    header.SoftwareVersions = study.software
    header.ProtocolName = series.name.strip()
    header.PatientPosition = "HFS"
    header.StudyInstanceUID = study.uid("study")
    header.SeriesInstanceUID = study.uid("series", number)
    header.StudyID = str(study.patient.number)[:16]
    header.SeriesNumber = number * SCANNERS[study.form.vendor].series_step + (
        study.form.vendor is Vendor.PHILIPS
    )
    header.AcquisitionNumber = 1
    header.FrameOfReferenceUID = study.uid("frame of reference")
    header.PositionReferenceIndicator = ""
    header.ImageComments = "Synthetic image, not of a patient"
    _pixel_module(header, study, series)
    return header


def _pixel_module(header: Dataset, study: PhantomStudy, series: PhantomSeries) -> None:
    _, rows, columns = series.frames[0].at.pixels.shape
    scanner = SCANNERS[study.form.vendor]
    header.SamplesPerPixel = 1
    header.PhotometricInterpretation = "MONOCHROME2"
    header.Rows, header.Columns = rows, columns
    header.BitsAllocated = 16
    header.BitsStored, header.HighBit = scanner.bits, scanner.bits - 1
    header.PixelRepresentation = int(scanner.signed)


def _classic(
    study: PhantomStudy, series: PhantomSeries, number: int, begin: datetime
) -> Iterator[Dataset]:
    """Yield MR images. What they share is built once: building elements is what takes the time."""
    template = _general(study, series, number, begin)
    template.SOPClassUID = MRImageStorage
    template.AcquisitionDate = template.ContentDate = _date(begin)
    _acquisition(template, study, series)
    for instance, frame in enumerate(series.frames, start=1):
        image = Dataset(dict(template.items()))  # shares the elements, which nothing changes
        image.SOPInstanceUID = study.uid("instance", number, instance)
        image.InstanceNumber = instance
        image.AcquisitionTime = image.ContentTime = _time(begin + timedelta(seconds=frame.depth))
        image.ImageType = _image_type(study.form.vendor, series.habit, frame).split("\\")
        _place(image, frame)
        _cardiac(image, study, frame, inverts="IR" in series.habit.scanning)
        pixels = _stored(study.form.vendor, frame)
        _values(image, study.form.vendor, frame, pixels)
        image.PixelData = pixels.tobytes()
        yield _with_meta(image)


def _acquisition(header: Dataset, study: PhantomStudy, series: PhantomSeries) -> None:
    """Write the MR Image module (PS3.3 C.8.3.1) but for what differs between the images."""
    stack, habit, vendor = series.stack, series.habit, study.form.vendor
    cine = stack.sequence is Kind.CINE
    header.ScanningSequence = habit.scanning.split("\\")
    header.SequenceVariant = habit.variant.split("\\")
    header.ScanOptions = _options(study, series)
    header.MRAcquisitionType = "2D"
    if habit.sequence_name is not None:
        header.SequenceName = habit.sequence_name
    header.AngioFlag = "N"
    header.SliceThickness = _ds(stack.thickness_mm)
    header.SpacingBetweenSlices = _ds(stack.thickness_mm + stack.gap_mm)
    summed = cine and vendor is Vendor.SIEMENS
    header.RepetitionTime = _ds(stack.repetition_ms * (LINES if summed else 1))
    header.EchoTime = _ds(stack.echo_ms)
    header.NumberOfAverages = "1"
    header.ImagingFrequency = _ds(42.577 * study.form.tesla)
    header.ImagedNucleus = "1H"
    header.EchoTrainLength = 1
    header.PixelBandwidth = "977"
    header.FlipAngle = _ds(stack.flip_deg)
    header.PixelSpacing = [_ds(stack.pixel_mm)] * 2
    if stack.sequence not in UNGATED:
        header.NominalInterval = study.interval_ms
        header.BeatRejectionFlag = "N"
    if vendor is Vendor.GE:
        header.HeartRate = round(60000 / study.interval_ms)
        header.ReconstructionDiameter = _ds(stack.pixel_mm * series.frames[0].at.pixels.shape[1])
        header.ImagesInAcquisition = len(series.frames)
    if vendor is not Vendor.PHILIPS:
        gated = stack.sequence not in UNGATED
        header.CardiacNumberOfImages = len(stack.times_ms) if gated else 0
        if vendor is Vendor.SIEMENS and not gated:
            del header.CardiacNumberOfImages


def _options(study: PhantomStudy, series: PhantomSeries) -> list[str]:
    options = series.habit.options.split("\\")
    gated = series.stack.sequence not in UNGATED
    return [*options, "CG"] if gated and "CG" not in options and not study.form.quirks else options


def _place(image: Dataset, frame: PhantomFrame) -> None:
    stack = frame.stack
    image.ImagePositionPatient = [_ds(value, 4) for value in frame.at.position]
    image.ImageOrientationPatient = [_ds(value, 6) for value in (*stack.row, *stack.column)]
    image.SliceLocation = _ds(float(frame.at.position @ np.cross(stack.row, stack.column)), 4)


def _cardiac(image: Dataset, study: PhantomStudy, frame: PhantomFrame, *, inverts: bool) -> None:
    """Write what changes from phase to phase."""
    stack = frame.stack
    time_ms = stack.times_ms[frame.phase]
    if stack.sequence not in UNGATED:
        image.TriggerTime = _ds(time_ms, 1)
    if inverts:
        inversion_ms = time_ms if stack.sequence is Kind.TI_SCOUT else stack.inversion_ms
        image.InversionTime = "" if inversion_ms is None else _ds(inversion_ms, 1)
    elif study.form.vendor is Vendor.GE and study.form.quirks:
        image.InversionTime = "0"
    if study.form.vendor is Vendor.PHILIPS:
        image.TemporalPositionIdentifier = frame.phase + 1
        image.NumberOfTemporalPositions = len(stack.times_ms)


def _image_type(vendor: Vendor, habit: Habit, frame: PhantomFrame) -> str:
    if frame.stack.sequence is not Kind.FLOW:
        return habit.image_type
    if vendor is Vendor.PHILIPS:
        return {
            "A": "ORIGINAL\\PRIMARY\\M_FFE\\M\\FFE",
            "M": "ORIGINAL\\PRIMARY\\M_PCA\\M\\PCA",
            "P": "ORIGINAL\\PRIMARY\\VELOCITY MAP\\P\\PCA",
        }[frame.kind]
    if frame.kind == "P" and vendor is Vendor.SIEMENS:
        return "ORIGINAL\\PRIMARY\\P\\RETRO\\DIS2D"
    return habit.image_type if frame.kind == "M" else "DERIVED\\PRIMARY\\VELOCITY\\P"


#: Rescale slope and intercept where stored values are not the values meant.
PHILIPS_SLOPE = "0.7326"
VELOCITY_ZERO = 2048  #: drawn where nothing moves
VELOCITY_SLOPE, VELOCITY_INTERCEPT = "2", str(-2 * VELOCITY_ZERO)


def _values(image: Dataset, vendor: Vendor, frame: PhantomFrame, stored: Stored) -> None:
    """Write how stored values are meant and shown."""
    slope, intercept = _rescale(vendor, frame)
    if vendor is not Vendor.GE:
        image.RescaleIntercept, image.RescaleSlope = intercept, slope
        image.RescaleType = "US"
    low = float(stored.min()) * float(slope) + float(intercept)
    high = float(stored.max()) * float(slope) + float(intercept)
    image.WindowCenter = _ds((low + high) / 2, 1)
    image.WindowWidth = _ds(max(high - low, 1.0), 1)


def _rescale(vendor: Vendor, frame: PhantomFrame) -> tuple[str, str]:
    if frame.kind == "P" and vendor is not Vendor.GE:
        return VELOCITY_SLOPE, VELOCITY_INTERCEPT
    return (PHILIPS_SLOPE, "0") if vendor is Vendor.PHILIPS else ("1", "0")


def _stored(vendor: Vendor, frame: PhantomFrame) -> Stored:
    """Return one image, (rows, columns), as 16 bits; GE stores velocities with their sign."""
    drawn = frame.at.pixels[frame.phase]
    if frame.kind == "P" and vendor is Vendor.GE:
        signed: Stored = (drawn.astype("<i4") - VELOCITY_ZERO).astype("<i2")
        return signed
    return np.ascontiguousarray(drawn, dtype="<u2")


def _with_meta(image: Dataset) -> Dataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = image.SOPClassUID
    meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.file_meta = meta
    return image


def _ds(value: float, digits: int = 3) -> str:
    """Return a decimal string of at most 16 characters; raise ValueError where it is no number."""
    if not isfinite(value):
        raise ValueError(f"{value} has no place in a header")
    text = f"{value:.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _date(at: datetime) -> str:
    return at.strftime("%Y%m%d")


def _time(at: datetime) -> str:
    return at.strftime("%H%M%S.%f")


# -- Enhanced MR (PS3.3 A.36, C.8.13)


class Contrast(NamedTuple):
    """What Enhanced MR says of a sequence."""

    flavor: str  #: value 3 of ImageType
    contrast: str  #: AcquisitionContrast
    echo: str = "GRADIENT"
    steady: str = "NONE"
    inversion: str = "NO"
    spoiling: str = "RF"


CONTRASTS: Mapping[Kind, Contrast] = MappingProxyType(
    {
        Kind.CINE: Contrast("CINE", "UNKNOWN", steady="FREE_PRECESSION", spoiling="NONE"),
        Kind.LGE: Contrast("POST_CONTRAST", "T1", inversion="YES"),
        Kind.LOCALIZER: Contrast("LOCALIZER", "UNKNOWN", steady="FREE_PRECESSION", spoiling="NONE"),
        Kind.TI_SCOUT: Contrast("CARDIAC", "T1", steady="FREE_PRECESSION", inversion="YES"),
        Kind.T1_MAP: Contrast("T1", "T1", steady="FREE_PRECESSION", inversion="YES"),
        Kind.T2_MAP: Contrast("T2", "T2", steady="FREE_PRECESSION"),
        Kind.PERFUSION: Contrast("PERFUSION", "PERFUSION"),
        Kind.FLOW: Contrast("FLOW_ENCODED", "FLOW_ENCODED"),
        Kind.T2W: Contrast("STIR", "STIR", echo="SPIN", inversion="YES", spoiling="NONE"),
    }
)


def _enhanced(
    study: PhantomStudy, series: PhantomSeries, number: int, begin: datetime
) -> Iterator[Dataset]:
    """Yield the one multi-frame image of a series."""
    image = _general(study, series, number, begin)
    image.SOPClassUID = EnhancedMRImageStorage
    image.SOPInstanceUID = study.uid("instance", number, 1)
    image.InstanceNumber = 1
    image.ContentDate, image.ContentTime = _date(begin), _time(begin)
    image.AcquisitionDateTime = _date(begin) + _time(begin)
    image.ContentQualification = "RESEARCH"
    _enhanced_module(image, study, series)
    _dimensions(image, study, number)
    image.NumberOfFrames = len(series.frames)
    image.SharedFunctionalGroupsSequence = [_shared(study, series)]
    places = _places(series)
    image.PerFrameFunctionalGroupsSequence = [
        _per_frame(study, frame, places[index], begin) for index, frame in enumerate(series.frames)
    ]
    image.PixelData = b"".join(
        _stored(study.form.vendor, frame).tobytes() for frame in series.frames
    )
    yield _with_meta(image)


def _item(**values: object) -> Dataset:
    item = Dataset()
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return item


def _component(frames: Sequence[PhantomFrame]) -> str:
    phase = {frame.kind == "P" for frame in frames}
    return "MIXED" if len(phase) > 1 else "PHASE" if True in phase else "MAGNITUDE"


def _frame_type(series_or_frames: Sequence[PhantomFrame]) -> dict[str, object]:
    """Return the Common CT/MR and MR image description (PS3.3 C.8.16.2, C.8.13.3.1.1)."""
    contrast = CONTRASTS[series_or_frames[0].stack.sequence]
    return {
        "PixelPresentation": "MONOCHROME",
        "VolumetricProperties": "VOLUME",
        "VolumeBasedCalculationTechnique": "NONE",
        "ComplexImageComponent": _component(series_or_frames),
        "AcquisitionContrast": contrast.contrast,
    }


def _enhanced_module(image: Dataset, study: PhantomStudy, series: PhantomSeries) -> None:
    """Write the Enhanced MR Image and MR Pulse Sequence modules (PS3.3 C.8.13.1, C.8.13.4)."""
    stack, contrast = series.stack, CONTRASTS[series.stack.sequence]
    image.ImageType = ["ORIGINAL", "PRIMARY", contrast.flavor, "NONE"]
    image.update(_item(**_frame_type(series.frames)))
    image.ResonantNucleus = "1H"
    image.KSpaceFiltering = "NONE"
    image.ApplicableSafetyStandardAgency = "IEC"
    image.AcquisitionDuration = max(1.0, stack.times_ms[-1] / 1000)
    image.BurnedInAnnotation = "NO"
    image.LossyImageCompression = "00"
    image.PresentationLUTShape = "IDENTITY"
    image.PulseSequenceName = series.habit.sequence_name or series.name.strip()[:16]
    image.MRAcquisitionType = "2D"
    image.EchoPulseSequence = contrast.echo
    if contrast.echo == "SPIN":
        image.MultipleSpinEcho = "NO"
    image.MultiPlanarExcitation = "NO"
    image.PhaseContrast = "YES" if stack.sequence is Kind.FLOW else "NO"
    if stack.sequence is Kind.FLOW:
        image.VelocityEncodingAcquisitionSequence = [
            _item(VelocityEncodingDirection=_through(stack))
        ]
    image.TimeOfFlightContrast = "NO"
    image.SteadyStatePulseSequence = contrast.steady
    image.EchoPlanarPulseSequence = "NO"
    image.SaturationRecovery = "NO"
    image.SpectrallySelectedSuppression = "NONE"
    image.OversamplingPhase = "NONE"
    image.GeometryOfKSpaceTraversal = "RECTILINEAR"
    image.RectilinearPhaseEncodeReordering = "LINEAR"
    image.SegmentedKSpaceTraversal = "PARTIAL"
    image.NumberOfKSpaceTrajectories = 1
    image.AcquisitionContextSequence = []
    gated = stack.sequence not in UNGATED
    image.CardiacSynchronizationTechnique = "RETROSPECTIVE" if gated else "NONE"
    if gated:
        image.CardiacSignalSource = "ECG"
        image.CardiacRRIntervalSpecified = float(study.interval_ms)
        image.CardiacBeatRejectionTechnique = "NONE"
        image.LowRRValue = round(0.9 * study.interval_ms)
        image.HighRRValue = round(1.1 * study.interval_ms)
        image.IntervalsAcquired, image.IntervalsRejected = LINES, 0
    image.RespiratoryMotionCompensationTechnique = "BREATH_HOLD"
    image.RespiratorySignalSource = "NONE"


#: Which element of Frame Content or Cardiac Synchronization each dimension is.
DIMENSIONS = ("StackID", "InStackPositionNumber", "TemporalPositionIndex")


def _dimensions(image: Dataset, study: PhantomStudy, number: int) -> None:
    uid = study.uid("dimensions", number)
    image.DimensionOrganizationSequence = [_item(DimensionOrganizationUID=uid)]
    image.DimensionIndexSequence = [
        _item(
            DimensionOrganizationUID=uid,
            DimensionIndexPointer=Tag(keyword),
            FunctionalGroupPointer=Tag("FrameContentSequence"),
        )
        for keyword in DIMENSIONS
    ]


def _places(series: PhantomSeries) -> list[tuple[int, int, int]]:
    """Return the stack, position and phase of each frame, from 1; kinds of image are stacks too."""
    stacks: dict[tuple[int, str], int] = {}
    return [
        (
            stacks.setdefault((id(frame.stack), frame.kind), len(stacks) + 1),
            frame.depth + 1,
            frame.phase + 1,
        )
        for frame in series.frames
    ]


def _shared(study: PhantomStudy, series: PhantomSeries) -> Dataset:
    """Return the functional groups that hold for all frames (PS3.3 C.7.6.16.2, C.8.13.5)."""
    stack, contrast = series.stack, CONTRASTS[series.stack.sequence]
    _, rows, columns = series.frames[0].at.pixels.shape
    spacing_mm = [_ds(stack.pixel_mm)] * 2
    groups = _item(
        PixelMeasuresSequence=[
            _item(
                PixelSpacing=spacing_mm,
                SliceThickness=_ds(stack.thickness_mm),
                SpacingBetweenSlices=_ds(stack.thickness_mm + stack.gap_mm),
            )
        ],
        FrameAnatomySequence=[
            _item(
                FrameLaterality="U",
                AnatomicRegionSequence=[
                    _item(CodeValue="80891009", CodingSchemeDesignator="SCT", CodeMeaning="Heart")
                ],
            )
        ],
        MRTimingAndRelatedParametersSequence=[
            _item(
                RepetitionTime=_ds(stack.repetition_ms),
                FlipAngle=_ds(stack.flip_deg),
                EchoTrainLength=1,
                RFEchoTrainLength=1 if contrast.echo == "SPIN" else 0,
                GradientEchoTrainLength=0 if contrast.echo == "SPIN" else 1,
                GradientOutputType="DB_DT",
                GradientOutput=40.0,
                SpecificAbsorptionRateSequence=[
                    _item(
                        SpecificAbsorptionRateDefinition="IEC_WHOLE_BODY",
                        SpecificAbsorptionRateValue=1.2,
                    )
                ],
                OperatingModeSequence=[
                    _item(OperatingModeType=kind, OperatingMode="IEC_NORMAL")
                    for kind in ("STATIC FIELD", "RF", "GRADIENT")
                ],
            )
        ],
        MRFOVGeometrySequence=[
            _item(
                InPlanePhaseEncodingDirection="ROW",
                MRAcquisitionFrequencyEncodingSteps=columns,
                MRAcquisitionPhaseEncodingStepsInPlane=rows,
                PercentSampling="100",
                PercentPhaseFieldOfView="100",
            )
        ],
        MREchoSequence=[_item(EffectiveEchoTime=float(stack.echo_ms))],
        MRModifierSequence=[_modifier(stack, contrast)],
        MRImagingModifierSequence=[
            _item(
                MagnetizationTransfer="NONE",
                BloodSignalNulling="YES" if stack.sequence is Kind.T2W else "NO",
                Tagging="NONE",
                TransmitterFrequency=42.577 * study.form.tesla,
                PixelBandwidth="977",
            )
        ],
        MRReceiveCoilSequence=[
            _item(
                ReceiveCoilName="PHANTOM",
                ReceiveCoilManufacturerName="",
                ReceiveCoilType="BODY",
                QuadratureReceiveCoil="NO",
            )
        ],
        MRTransmitCoilSequence=[
            _item(TransmitCoilName="Body", TransmitCoilManufacturerName="", TransmitCoilType="BODY")
        ],
        MRAveragesSequence=[_item(NumberOfAverages="1")],
    )
    if stack.sequence is Kind.FLOW:
        groups.MRVelocityEncodingSequence = [_velocity(stack)]
    return groups


def _modifier(stack: PhantomStack, contrast: Contrast) -> Dataset:
    modifier = _item(
        InversionRecovery=contrast.inversion,
        FlowCompensation="NONE",
        Spoiling=contrast.spoiling,
        T2Preparation="YES" if stack.sequence is Kind.T2_MAP else "NO",
        SpectrallySelectedExcitation="NONE",
        SpatialPresaturation="NONE",
        PartialFourier="NO",
        ParallelAcquisition="NO",
    )
    if contrast.inversion == "YES":
        modifier.InversionTimes = [float(stack.inversion_ms or 200.0)]
    return modifier


def _per_frame(
    study: PhantomStudy, frame: PhantomFrame, place: tuple[int, int, int], begin: datetime
) -> Dataset:
    stack = frame.stack
    time_ms = stack.times_ms[frame.phase]
    at = begin + timedelta(seconds=frame.depth)
    slope, intercept = _rescale(study.form.vendor, frame)
    values = Dataset()
    _values(values, study.form.vendor, frame, _stored(study.form.vendor, frame))
    content = _item(
        FrameAcquisitionNumber=1,
        FrameReferenceDateTime=_date(at) + _time(at),
        FrameAcquisitionDateTime=_date(at) + _time(at),
        FrameAcquisitionDuration=float(stack.repetition_ms * LINES),
        StackID=str(place[0]),
        InStackPositionNumber=place[1],
        TemporalPositionIndex=place[2],
        DimensionIndexValues=list(place),
    )
    groups = _item(
        FrameContentSequence=[content],
        PlanePositionSequence=[
            _item(ImagePositionPatient=[_ds(value, 4) for value in frame.at.position])
        ],
        PlaneOrientationSequence=[
            _item(ImageOrientationPatient=[_ds(value, 6) for value in (*stack.row, *stack.column)])
        ],
        PixelValueTransformationSequence=[
            _item(RescaleIntercept=intercept, RescaleSlope=slope, RescaleType="US")
        ],
        FrameVOILUTSequence=[
            _item(WindowCenter=values.WindowCenter, WindowWidth=values.WindowWidth)
        ],
        MRImageFrameTypeSequence=[
            _item(
                FrameType=["ORIGINAL", "PRIMARY", CONTRASTS[stack.sequence].flavor, "NONE"],
                **_frame_type([frame]),
            )
        ],
    )
    if stack.sequence not in UNGATED:
        groups.CardiacSynchronizationSequence = [
            _item(
                NominalCardiacTriggerDelayTime=float(time_ms),
                ActualCardiacTriggerDelayTime=float(time_ms),
                RRIntervalTimeNominal=float(study.interval_ms),
            )
        ]
    return groups


def _velocity(stack: PhantomStack) -> Dataset:
    """Return through-plane velocity encoding, cm/s."""
    return _item(
        VelocityEncodingDirection=_through(stack),
        VelocityEncodingMinimumValue=-250.0,
        VelocityEncodingMaximumValue=250.0,
    )


def _through(stack: PhantomStack) -> list[float]:
    return [float(value) for value in np.cross(stack.row, stack.column)]


# -- files


def write_files(
    folder: Path, stacks: Sequence[PhantomStack], heart: Heart, form: DicomForm, impression: str
) -> list[Path]:
    """Write a study as folder/images/*.dcm with folder/truth.json and folder/impression.txt beside.

    Returns the image files, in the order of acquisition.
    """
    images = folder / "images"
    images.mkdir(parents=True, exist_ok=True)
    instances = build_datasets(stacks, draw_patient(heart), form, heart.seed)
    paths = []
    for number, instance in enumerate(instances, start=1):
        paths.append(images / f"{number:05d}.dcm")
        instance.save_as(paths[-1], enforce_file_format=True)
    (folder / "impression.txt").write_text(impression.rstrip() + "\n", encoding="utf-8")
    (folder / TRUTH).write_text(json.dumps(truth_values(heart), indent=2) + "\n", encoding="utf-8")
    return paths


def truth_values(heart: Heart) -> dict[str, object]:
    """Return what is true of a heart, as the sidecar says it."""
    known = derive_truth(heart)
    return {
        "findings": dict(known.findings),
        "diagnoses": dict(known.diagnoses),
        "measurements": {name: round(value, 3) for name, value in known.measurements.items()},
        "pathologies": [str(pathology) for pathology in heart.pathologies],
        "scars": [asdict(scar) for scar in heart.scars],
    }
