"""Classic MR images (PS3.3 A.4): one instance per image."""

from collections.abc import Iterator
from datetime import datetime, timedelta

import numpy as np
from pydicom import Dataset
from pydicom.uid import MRImageStorage

from triage.phantom.dicom_header import (
    PhantomStudy,
    add_file_meta,
    build_common_header,
    format_date,
    format_decimal,
    format_time,
    set_rescale_and_window,
    stored_pixels,
)
from triage.phantom.habits import LINES, UNGATED, Habit, Vendor
from triage.phantom.series import PhantomFrame, PhantomSeries
from triage.phantom.stack import PhantomSequence


def build_classic_images(
    study: PhantomStudy, series: PhantomSeries, number: int, begin: datetime
) -> Iterator[Dataset]:
    """Yield MR images; shared elements are built once, because building them is slow."""
    template = build_common_header(study, series, number, begin)
    template.SOPClassUID = MRImageStorage
    template.AcquisitionDate = template.ContentDate = format_date(begin)
    _set_acquisition(template, study, series)
    for instance, frame in enumerate(series.frames, start=1):
        image = Dataset(dict(template.items()))  # shares the elements, which are not changed
        image.SOPInstanceUID = study.uid("instance", number, instance)
        image.InstanceNumber = instance
        image.AcquisitionTime = image.ContentTime = format_time(
            begin + timedelta(seconds=frame.depth)
        )
        image.ImageType = _image_type(study.form.vendor, series.habit, frame).split("\\")
        _set_position(image, frame)
        _set_cardiac(image, study, frame, inverts="IR" in series.habit.scanning)
        pixels = stored_pixels(study.form.vendor, frame)
        set_rescale_and_window(image, study.form.vendor, frame, pixels)
        image.PixelData = pixels.tobytes()
        yield add_file_meta(image)


def _set_acquisition(header: Dataset, study: PhantomStudy, series: PhantomSeries) -> None:
    """Write the MR Image module (PS3.3 C.8.3.1), except what differs between images."""
    stack, habit = series.stack, series.habit
    header.ScanningSequence = habit.scanning.split("\\")
    header.SequenceVariant = habit.variant.split("\\")
    header.ScanOptions = _scan_options(study, series)
    if habit.sequence_name is not None:
        header.SequenceName = habit.sequence_name
    header.MRAcquisitionType = "2D"
    header.AngioFlag = "N"
    header.SliceThickness = format_decimal(stack.thickness_mm)
    header.SpacingBetweenSlices = format_decimal(stack.thickness_mm + stack.gap_mm)
    header.EchoTime = format_decimal(stack.echo_ms)
    header.NumberOfAverages = "1"
    header.ImagingFrequency = format_decimal(42.577 * study.form.tesla)
    header.ImagedNucleus = "1H"
    header.EchoTrainLength = 1
    header.PixelBandwidth = "977"
    header.FlipAngle = format_decimal(stack.flip_deg)
    header.PixelSpacing = [format_decimal(stack.pixel_mm)] * 2
    _set_vendor_elements(header, study, series)


def _set_vendor_elements(header: Dataset, study: PhantomStudy, series: PhantomSeries) -> None:
    """Write the elements that vendors fill differently: timing and counts of images."""
    stack, vendor = series.stack, study.form.vendor
    gated = stack.sequence not in UNGATED
    is_segment = stack.sequence is PhantomSequence.CINE and vendor is Vendor.SIEMENS
    header.RepetitionTime = format_decimal(stack.repetition_ms * (LINES if is_segment else 1))
    if gated:
        header.NominalInterval = study.interval_ms
        header.BeatRejectionFlag = "N"
    if vendor is Vendor.GE:
        columns = series.frames[0].at.pixels.shape[1]
        header.HeartRate = round(60000 / study.interval_ms)
        header.ReconstructionDiameter = format_decimal(stack.pixel_mm * columns)
        header.ImagesInAcquisition = len(series.frames)
    if vendor is Vendor.GE or (vendor is Vendor.SIEMENS and gated):
        header.CardiacNumberOfImages = len(stack.times_ms) if gated else 0


def _scan_options(study: PhantomStudy, series: PhantomSeries) -> list[str]:
    options = series.habit.options.split("\\")
    gated = series.stack.sequence not in UNGATED
    return [*options, "CG"] if gated and "CG" not in options and not study.form.quirks else options


def _set_position(image: Dataset, frame: PhantomFrame) -> None:
    stack = frame.stack
    image.ImagePositionPatient = [format_decimal(value, 4) for value in frame.at.position]
    image.ImageOrientationPatient = [
        format_decimal(value, 6) for value in (*stack.row, *stack.column)
    ]
    image.SliceLocation = format_decimal(
        float(frame.at.position @ np.cross(stack.row, stack.column)), 4
    )


def _set_cardiac(
    image: Dataset, study: PhantomStudy, frame: PhantomFrame, *, inverts: bool
) -> None:
    """Write the elements that differ between phases."""
    stack = frame.stack
    time_ms = stack.times_ms[frame.phase]
    if stack.sequence not in UNGATED:
        image.TriggerTime = format_decimal(time_ms, 1)
    if inverts:
        inversion_ms = time_ms if stack.sequence is PhantomSequence.TI_SCOUT else stack.inversion_ms
        image.InversionTime = "" if inversion_ms is None else format_decimal(inversion_ms, 1)
    elif study.form.vendor is Vendor.GE and study.form.quirks:
        image.InversionTime = "0"
    if study.form.vendor is Vendor.PHILIPS:
        image.TemporalPositionIdentifier = frame.phase + 1
        image.NumberOfTemporalPositions = len(stack.times_ms)


def _image_type(vendor: Vendor, habit: Habit, frame: PhantomFrame) -> str:
    if frame.stack.sequence is not PhantomSequence.FLOW:
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
