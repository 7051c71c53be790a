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


def _set_enhanced_module(image: Dataset, study: PhantomStudy, series: PhantomSeries) -> None:
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
    image.PhaseContrast = "YES" if stack.sequence is PhantomSequence.FLOW else "NO"
    if stack.sequence is PhantomSequence.FLOW:
        image.VelocityEncodingAcquisitionSequence = [
            _item(VelocityEncodingDirection=_through_plane(stack))
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
    _, rows, columns = series.frames[0].at.pixels.shape
    spacing_mm = [format_decimal(stack.pixel_mm)] * 2
    groups = _item(
        PixelMeasuresSequence=[
            _item(
                PixelSpacing=spacing_mm,
                SliceThickness=format_decimal(stack.thickness_mm),
                SpacingBetweenSlices=format_decimal(stack.thickness_mm + stack.gap_mm),
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
                RepetitionTime=format_decimal(stack.repetition_ms),
                FlipAngle=format_decimal(stack.flip_deg),
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
                BloodSignalNulling="YES" if stack.sequence is PhantomSequence.T2W else "NO",
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
    if stack.sequence is PhantomSequence.FLOW:
        groups.MRVelocityEncodingSequence = [_velocity_encoding(stack)]
    return groups


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
    study: PhantomStudy, frame: PhantomFrame, place: tuple[int, int, int], begin: datetime
) -> Dataset:
    stack = frame.stack
    time_ms = stack.times_ms[frame.phase]
    at = begin + timedelta(seconds=frame.depth)
    slope, intercept = rescale_values(study.form.vendor, frame)
    values = Dataset()
    set_rescale_and_window(
        values, study.form.vendor, frame, stored_pixels(study.form.vendor, frame)
    )
    content = _item(
        FrameAcquisitionNumber=1,
        FrameReferenceDateTime=format_date(at) + format_time(at),
        FrameAcquisitionDateTime=format_date(at) + format_time(at),
        FrameAcquisitionDuration=float(stack.repetition_ms * LINES),
        StackID=str(place[0]),
        InStackPositionNumber=place[1],
        TemporalPositionIndex=place[2],
        DimensionIndexValues=list(place),
    )
    groups = _item(
        FrameContentSequence=[content],
        PlanePositionSequence=[
            _item(ImagePositionPatient=[format_decimal(value, 4) for value in frame.at.position])
        ],
        PlaneOrientationSequence=[
            _item(
                ImageOrientationPatient=[
                    format_decimal(value, 6) for value in (*stack.row, *stack.column)
                ]
            )
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


def _velocity_encoding(stack: PhantomStack) -> Dataset:
    """Return the through-plane velocity encoding, cm/s."""
    return _item(
        VelocityEncodingDirection=_through_plane(stack),
        VelocityEncodingMinimumValue=-250.0,
        VelocityEncodingMaximumValue=250.0,
    )


def _through_plane(stack: PhantomStack) -> list[float]:
    return [float(value) for value in np.cross(stack.row, stack.column)]
