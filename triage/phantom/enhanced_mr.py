"""Enhanced MR images (PS3.3 A.36, C.8.13): one multi-frame instance per series."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from pydicom import Dataset
from pydicom.tag import Tag
from pydicom.uid import EnhancedMRImageStorage

from triage.phantom.dicom_header import (
    PhantomStudy,
    add_file_meta,
    build_common_header,
    format_date,
    format_decimal,
    format_time,
    rescale_values,
    set_rescale_and_window,
    stored_pixels,
)
from triage.phantom.habits import LINES, UNGATED
from triage.phantom.series import PhantomFrame, PhantomSeries
from triage.phantom.stack import PhantomSequence, PhantomStack


class EnhancedContrast(NamedTuple):
    """How Enhanced MR describes a sequence."""

    flavor: str  #: third value of ImageType
    contrast: str  #: AcquisitionContrast
    echo: str = "GRADIENT"
    steady: str = "NONE"
    inversion: str = "NO"
    spoiling: str = "RF"


CONTRASTS: Mapping[PhantomSequence, EnhancedContrast] = MappingProxyType(
    {
        PhantomSequence.CINE: EnhancedContrast(
            "CINE", "UNKNOWN", steady="FREE_PRECESSION", spoiling="NONE"
        ),
        PhantomSequence.LGE: EnhancedContrast("POST_CONTRAST", "T1", inversion="YES"),
        PhantomSequence.LOCALIZER: EnhancedContrast(
            "LOCALIZER", "UNKNOWN", steady="FREE_PRECESSION", spoiling="NONE"
        ),
        PhantomSequence.TI_SCOUT: EnhancedContrast(
            "CARDIAC", "T1", steady="FREE_PRECESSION", inversion="YES"
        ),
        PhantomSequence.T1_MAP: EnhancedContrast(
            "T1", "T1", steady="FREE_PRECESSION", inversion="YES"
        ),
        PhantomSequence.T2_MAP: EnhancedContrast("T2", "T2", steady="FREE_PRECESSION"),
        PhantomSequence.PERFUSION: EnhancedContrast("PERFUSION", "PERFUSION"),
        PhantomSequence.FLOW: EnhancedContrast("FLOW_ENCODED", "FLOW_ENCODED"),
        PhantomSequence.T2W: EnhancedContrast(
            "STIR", "STIR", echo="SPIN", inversion="YES", spoiling="NONE"
        ),
    }
)


def build_enhanced_image(
    study: PhantomStudy, series: PhantomSeries, number: int, begin: datetime
) -> Iterator[Dataset]:
    """Yield the only image of a series."""
    image = build_common_header(study, series, number, begin)
    image.SOPClassUID = EnhancedMRImageStorage
    image.SOPInstanceUID = study.uid("instance", number, 1)
    image.InstanceNumber = 1
    image.ContentDate, image.ContentTime = format_date(begin), format_time(begin)
    image.AcquisitionDateTime = format_date(begin) + format_time(begin)
    image.ContentQualification = "RESEARCH"
    _set_enhanced_module(image, study, series)
    _set_dimensions(image, study, number)
    image.NumberOfFrames = len(series.frames)
    image.SharedFunctionalGroupsSequence = [_shared_groups(study, series)]
    places = _frame_indices(series)
    image.PerFrameFunctionalGroupsSequence = [
        _frame_groups(study, frame, places[index], begin)
        for index, frame in enumerate(series.frames)
    ]
    image.PixelData = b"".join(
        stored_pixels(study.form.vendor, frame).tobytes() for frame in series.frames
    )
    yield add_file_meta(image)


def _item(**values: object) -> Dataset:
    item = Dataset()
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return item


def _image_component(frames: Sequence[PhantomFrame]) -> str:
    phase = {frame.kind == "P" for frame in frames}
    return "MIXED" if len(phase) > 1 else "PHASE" if True in phase else "MAGNITUDE"


def _frame_type(series_or_frames: Sequence[PhantomFrame]) -> dict[str, object]:
    """Return the Common CT/MR and MR image description (PS3.3 C.8.16.2, C.8.13.3.1.1)."""
    contrast = CONTRASTS[series_or_frames[0].stack.sequence]
    return {
        "PixelPresentation": "MONOCHROME",
        "VolumetricProperties": "VOLUME",
        "VolumeBasedCalculationTechnique": "NONE",
        "ComplexImageComponent": _image_component(series_or_frames),
        "AcquisitionContrast": contrast.contrast,
    }


#: Elements of the Enhanced MR Image and MR Pulse Sequence modules that are equal in all images.
ENHANCED_CONSTANTS: Mapping[str, str | int] = MappingProxyType(
    {
        "ResonantNucleus": "1H",
        "KSpaceFiltering": "NONE",
        "ApplicableSafetyStandardAgency": "IEC",
        "BurnedInAnnotation": "NO",
        "LossyImageCompression": "00",
        "PresentationLUTShape": "IDENTITY",
        "MRAcquisitionType": "2D",
        "MultiPlanarExcitation": "NO",
        "TimeOfFlightContrast": "NO",
        "EchoPlanarPulseSequence": "NO",
        "SaturationRecovery": "NO",
        "SpectrallySelectedSuppression": "NONE",
        "OversamplingPhase": "NONE",
        "GeometryOfKSpaceTraversal": "RECTILINEAR",
        "RectilinearPhaseEncodeReordering": "LINEAR",
        "SegmentedKSpaceTraversal": "PARTIAL",
        "NumberOfKSpaceTrajectories": 1,
        "RespiratoryMotionCompensationTechnique": "BREATH_HOLD",
        "RespiratorySignalSource": "NONE",
    }
)


def _set_enhanced_module(image: Dataset, study: PhantomStudy, series: PhantomSeries) -> None:
    """Write the Enhanced MR Image and MR Pulse Sequence modules (PS3.3 C.8.13.1, C.8.13.4)."""
    stack, contrast = series.stack, CONTRASTS[series.stack.sequence]
    image.update(_item(**ENHANCED_CONSTANTS))
    image.update(_item(**_frame_type(series.frames)))
    image.ImageType = ["ORIGINAL", "PRIMARY", contrast.flavor, "NONE"]
    image.AcquisitionDuration = max(1.0, stack.times_ms[-1] / 1000)
    image.PulseSequenceName = series.habit.sequence_name or series.name.strip()[:16]
    image.EchoPulseSequence = contrast.echo
    if contrast.echo == "SPIN":
        image.MultipleSpinEcho = "NO"
    image.PhaseContrast = "YES" if stack.sequence is PhantomSequence.FLOW else "NO"
    if stack.sequence is PhantomSequence.FLOW:
        direction = _item(VelocityEncodingDirection=_through_plane(stack))
        image.VelocityEncodingAcquisitionSequence = [direction]
    image.SteadyStatePulseSequence = contrast.steady
    image.AcquisitionContextSequence = []
    gated = stack.sequence not in UNGATED
    image.CardiacSynchronizationTechnique = "RETROSPECTIVE" if gated else "NONE"
    if gated:
        _set_gating(image, study)


def _set_gating(image: Dataset, study: PhantomStudy) -> None:
    """Write the elements of cardiac synchronization (PS3.3 C.7.6.18.1)."""
    image.CardiacSignalSource = "ECG"
    image.CardiacRRIntervalSpecified = float(study.interval_ms)
    image.CardiacBeatRejectionTechnique = "NONE"
    image.LowRRValue = round(0.9 * study.interval_ms)
    image.HighRRValue = round(1.1 * study.interval_ms)
    image.IntervalsAcquired, image.IntervalsRejected = LINES, 0


#: The element of Frame Content that each dimension index points to.
DIMENSIONS = ("StackID", "InStackPositionNumber", "TemporalPositionIndex")


def _set_dimensions(image: Dataset, study: PhantomStudy, number: int) -> None:
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


def _frame_indices(series: PhantomSeries) -> list[tuple[int, int, int]]:
    """Return stack, position and phase of each frame, from 1; each kind of image is a stack."""
    stacks: dict[tuple[int, str], int] = {}
    return [
        (
            stacks.setdefault((id(frame.stack), frame.kind), len(stacks) + 1),
            frame.depth + 1,
            frame.phase + 1,
        )
        for frame in series.frames
    ]


def _shared_groups(study: PhantomStudy, series: PhantomSeries) -> Dataset:
    """Return the functional groups of all frames (PS3.3 C.7.6.16.2, C.8.13.5)."""
    stack, contrast = series.stack, CONTRASTS[series.stack.sequence]
    groups = _item(
        PixelMeasuresSequence=[_pixel_measures(stack)],
        FrameAnatomySequence=[_item(FrameLaterality="U", AnatomicRegionSequence=[_heart_code()])],
        MRTimingAndRelatedParametersSequence=[_timing(stack, contrast)],
        MRFOVGeometrySequence=[_field_of_view(series)],
        MREchoSequence=[_item(EffectiveEchoTime=float(stack.echo_ms))],
        MRModifierSequence=[_modifier(stack, contrast)],
        MRImagingModifierSequence=[_imaging_modifier(study, stack)],
        MRReceiveCoilSequence=[_receive_coil()],
        MRTransmitCoilSequence=[
            _item(TransmitCoilName="Body", TransmitCoilManufacturerName="", TransmitCoilType="BODY")
        ],
        MRAveragesSequence=[_item(NumberOfAverages="1")],
    )
    if stack.sequence is PhantomSequence.FLOW:
        groups.MRVelocityEncodingSequence = [_velocity_encoding(stack)]
    return groups


def _pixel_measures(stack: PhantomStack) -> Dataset:
    return _item(
        PixelSpacing=[format_decimal(stack.pixel_mm)] * 2,
        SliceThickness=format_decimal(stack.thickness_mm),
        SpacingBetweenSlices=format_decimal(stack.thickness_mm + stack.gap_mm),
    )


def _heart_code() -> Dataset:
    return _item(CodeValue="80891009", CodingSchemeDesignator="SCT", CodeMeaning="Heart")


def _timing(stack: PhantomStack, contrast: EnhancedContrast) -> Dataset:
    absorption = _item(
        SpecificAbsorptionRateDefinition="IEC_WHOLE_BODY", SpecificAbsorptionRateValue=1.2
    )
    is_spin_echo = contrast.echo == "SPIN"
    return _item(
        RepetitionTime=format_decimal(stack.repetition_ms),
        FlipAngle=format_decimal(stack.flip_deg),
        EchoTrainLength=1,
        RFEchoTrainLength=1 if is_spin_echo else 0,
        GradientEchoTrainLength=0 if is_spin_echo else 1,
        GradientOutputType="DB_DT",
        GradientOutput=40.0,
        SpecificAbsorptionRateSequence=[absorption],
        OperatingModeSequence=[
            _item(OperatingModeType=kind, OperatingMode="IEC_NORMAL")
            for kind in ("STATIC FIELD", "RF", "GRADIENT")
        ],
    )


def _field_of_view(series: PhantomSeries) -> Dataset:
    _, rows, columns = series.frames[0].at.pixels.shape
    return _item(
        InPlanePhaseEncodingDirection="ROW",
        MRAcquisitionFrequencyEncodingSteps=columns,
        MRAcquisitionPhaseEncodingStepsInPlane=rows,
        PercentSampling="100",
        PercentPhaseFieldOfView="100",
    )


def _imaging_modifier(study: PhantomStudy, stack: PhantomStack) -> Dataset:
    return _item(
        MagnetizationTransfer="NONE",
        BloodSignalNulling="YES" if stack.sequence is PhantomSequence.T2W else "NO",
        Tagging="NONE",
        TransmitterFrequency=42.577 * study.form.tesla,
        PixelBandwidth="977",
    )


def _receive_coil() -> Dataset:
    return _item(
        ReceiveCoilName="PHANTOM",
        ReceiveCoilManufacturerName="",
        ReceiveCoilType="BODY",
        QuadratureReceiveCoil="NO",
    )


def _modifier(stack: PhantomStack, contrast: EnhancedContrast) -> Dataset:
    modifier = _item(
        InversionRecovery=contrast.inversion,
        FlowCompensation="NONE",
        Spoiling=contrast.spoiling,
        T2Preparation="YES" if stack.sequence is PhantomSequence.T2_MAP else "NO",
        SpectrallySelectedExcitation="NONE",
        SpatialPresaturation="NONE",
        PartialFourier="NO",
        ParallelAcquisition="NO",
    )
    if contrast.inversion == "YES":
        modifier.InversionTimes = [float(stack.inversion_ms or 200.0)]
    return modifier


def _frame_groups(
    study: PhantomStudy, frame: PhantomFrame, indices: tuple[int, int, int], begin: datetime
) -> Dataset:
    """Return the functional groups of one frame; `indices` are stack, position and phase."""
    stack, vendor = frame.stack, study.form.vendor
    slope, intercept = rescale_values(vendor, frame)
    values = Dataset()
    set_rescale_and_window(values, vendor, frame, stored_pixels(vendor, frame))
    position = [format_decimal(value, 4) for value in frame.at.position]
    orientation = [format_decimal(value, 6) for value in (*stack.row, *stack.column)]
    rescale = _item(RescaleIntercept=intercept, RescaleSlope=slope, RescaleType="US")
    frame_type = ["ORIGINAL", "PRIMARY", CONTRASTS[stack.sequence].flavor, "NONE"]
    groups = _item(
        FrameContentSequence=[_frame_content(frame, indices, begin)],
        PlanePositionSequence=[_item(ImagePositionPatient=position)],
        PlaneOrientationSequence=[_item(ImageOrientationPatient=orientation)],
        PixelValueTransformationSequence=[rescale],
        FrameVOILUTSequence=[
            _item(WindowCenter=values.WindowCenter, WindowWidth=values.WindowWidth)
        ],
        MRImageFrameTypeSequence=[_item(FrameType=frame_type, **_frame_type([frame]))],
    )
    if stack.sequence not in UNGATED:
        groups.CardiacSynchronizationSequence = [_synchronization(study, frame)]
    return groups


def _frame_content(frame: PhantomFrame, indices: tuple[int, int, int], begin: datetime) -> Dataset:
    at = begin + timedelta(seconds=frame.depth)
    return _item(
        FrameAcquisitionNumber=1,
        FrameReferenceDateTime=format_date(at) + format_time(at),
        FrameAcquisitionDateTime=format_date(at) + format_time(at),
        FrameAcquisitionDuration=float(frame.stack.repetition_ms * LINES),
        StackID=str(indices[0]),
        InStackPositionNumber=indices[1],
        TemporalPositionIndex=indices[2],
        DimensionIndexValues=list(indices),
    )


def _synchronization(study: PhantomStudy, frame: PhantomFrame) -> Dataset:
    time_ms = float(frame.stack.times_ms[frame.phase])
    return _item(
        NominalCardiacTriggerDelayTime=time_ms,
        ActualCardiacTriggerDelayTime=time_ms,
        RRIntervalTimeNominal=float(study.interval_ms),
    )


def _velocity_encoding(stack: PhantomStack) -> Dataset:
    """Return the through-plane velocity encoding, cm/s."""
    return _item(
        VelocityEncodingDirection=_through_plane(stack),
        VelocityEncodingMinimumValue=-250.0,
        VelocityEncodingMaximumValue=250.0,
    )


def _through_plane(stack: PhantomStack) -> list[float]:
    return [float(value) for value in np.cross(stack.row, stack.column)]
