"""Header elements of all images of a synthetic study, classic or enhanced."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from math import isfinite
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from triage.phantom.habits import SCANNERS, Vendor
from triage.phantom.patient import PhantomPatient
from triage.phantom.series import PhantomFrame, PhantomSeries

StoredPixels = NDArray[np.uint16] | NDArray[np.int16]  #: (rows, columns)


@dataclass(frozen=True)
class DicomForm:
    """How a study is written: vendor habits, classic or enhanced, field strength."""

    vendor: Vendor
    enhanced: bool = (
        False  #: Enhanced MR, one multi-frame instance per series, instead of classic MR
    )
    tesla: float = 1.5
    #: classic MR also with habits that PS3.3 C.8.3.1 forbids: GE's InversionTime 0 without
    #: inversion, TriggerTime although ScanOptions names no gating
    quirks: bool = False


class PhantomStudy(NamedTuple):
    """Properties that all data sets of a study share."""

    form: DicomForm
    patient: PhantomPatient
    key: str  #: its UIDs are derived from it
    begin: datetime
    interval_ms: int  #: time from beat to beat
    model: str
    software: str

    def uid(self, *parts: object) -> UID:
        """Return the UID of a part of the study: 2.25 and the first 128 bits of a SHA-256."""
        digest = hashlib.sha256(repr((self.key, *parts)).encode()).digest()
        return UID(f"2.25.{int.from_bytes(digest[:16])}")


#: Elements that are equal in all images of all studies.
CONSTANTS: Mapping[str, str | int] = MappingProxyType(
    {
        "SpecificCharacterSet": "ISO_IR 100",
        # PS3.3 C.12.1: a bundle of drawn hearts flags only studies that have this mark.
        "SyntheticData": "YES",
        "Modality": "MR",
        "InstitutionName": "Phantom Hospital",
        "ReferringPhysicianName": "",
        "StationName": "PHANTOM",
        "StudyDescription": "Cardiac MR",
        "DeviceSerialNumber": "00000",
        "PatientPosition": "HFS",
        "AcquisitionNumber": 1,
        "PositionReferenceIndicator": "",
        "ImageComments": "Synthetic image, not of a patient",
    }
)


def build_common_header(
    study: PhantomStudy, series: PhantomSeries, number: int, at: datetime
) -> Dataset:
    """Return the header that all instances of a series share, classic or enhanced.

    Args:
        study: The study.
        series: The series.
        number: Number of the series in the study, from 1.
        at: Time of the series.
    """
    header = Dataset()
    for keyword, value in CONSTANTS.items():
        setattr(header, keyword, value)
    _set_patient(header, study)
    _set_equipment(header, study)
    header.StudyDate, header.StudyTime = format_date(study.begin), format_time(study.begin)
    header.SeriesDate, header.SeriesTime = format_date(at), format_time(at)
    header.AccessionNumber = f"PH{study.patient.number:08d}"[:16]
    header.SeriesDescription = series.name
    header.ProtocolName = series.name.strip()
    header.StudyInstanceUID = study.uid("study")
    header.SeriesInstanceUID = study.uid("series", number)
    header.StudyID = str(study.patient.number)[:16]
    header.SeriesNumber = number * SCANNERS[study.form.vendor].series_step + (
        study.form.vendor is Vendor.PHILIPS
    )
    header.FrameOfReferenceUID = study.uid("frame of reference")
    _set_pixel_module(header, study, series)
    return header


def _set_patient(header: Dataset, study: PhantomStudy) -> None:
    patient = study.patient
    header.PatientName = f"Phantom^{patient.number:07d}"
    header.PatientID = f"PHANTOM-{patient.number:07d}"
    header.PatientBirthDate = f"{study.begin.year - patient.age_years}0101"
    header.PatientSex = str(patient.sex)
    header.PatientAge = f"{patient.age_years:03d}Y"
    header.PatientSize = format_decimal(patient.size_m)
    header.PatientWeight = format_decimal(patient.weight_kg)


def _set_equipment(header: Dataset, study: PhantomStudy) -> None:
    header.Manufacturer = str(study.form.vendor)
    header.ManufacturerModelName = study.model
    header.SoftwareVersions = study.software
    header.MagneticFieldStrength = format_decimal(study.form.tesla)
    if body_part := SCANNERS[study.form.vendor].body_part:
        header.BodyPartExamined = body_part
    elif not study.form.enhanced:
        header.Laterality = ""  # Type 2C if no body part shows that it is unpaired


def _set_pixel_module(header: Dataset, study: PhantomStudy, series: PhantomSeries) -> None:
    _, rows, columns = series.frames[0].at.pixels.shape
    scanner = SCANNERS[study.form.vendor]
    header.SamplesPerPixel = 1
    header.PhotometricInterpretation = "MONOCHROME2"
    header.Rows, header.Columns = rows, columns
    header.BitsAllocated = 16
    header.BitsStored, header.HighBit = scanner.bits, scanner.bits - 1
    header.PixelRepresentation = int(scanner.signed)


#: Rescale slope and intercept, if stored values differ from real values.
PHILIPS_SLOPE = "0.7326"
VELOCITY_ZERO = 2048  #: drawn value of no motion
VELOCITY_SLOPE, VELOCITY_INTERCEPT = "2", str(-2 * VELOCITY_ZERO)


def set_rescale_and_window(
    image: Dataset, vendor: Vendor, frame: PhantomFrame, stored: StoredPixels
) -> None:
    """Write rescale values and the display window of an image."""
    slope, intercept = rescale_values(vendor, frame)
    if vendor is not Vendor.GE:
        image.RescaleIntercept, image.RescaleSlope = intercept, slope
        image.RescaleType = "US"
    low = float(stored.min()) * float(slope) + float(intercept)
    high = float(stored.max()) * float(slope) + float(intercept)
    image.WindowCenter = format_decimal((low + high) / 2, 1)
    image.WindowWidth = format_decimal(max(high - low, 1.0), 1)


def rescale_values(vendor: Vendor, frame: PhantomFrame) -> tuple[str, str]:
    """Return rescale slope and intercept of an image."""
    if frame.kind == "P" and vendor is not Vendor.GE:
        return VELOCITY_SLOPE, VELOCITY_INTERCEPT
    return (PHILIPS_SLOPE, "0") if vendor is Vendor.PHILIPS else ("1", "0")


def stored_pixels(vendor: Vendor, frame: PhantomFrame) -> StoredPixels:
    """Return the 16-bit pixels of an image, (rows, columns); GE stores signed velocities."""
    drawn = frame.at.pixels[frame.phase]
    if frame.kind == "P" and vendor is Vendor.GE:
        signed: StoredPixels = (drawn.astype("<i4") - VELOCITY_ZERO).astype("<i2")
        return signed
    return np.ascontiguousarray(drawn, dtype="<u2")


def add_file_meta(image: Dataset) -> Dataset:
    """Add the file meta information to an image and return it."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = image.SOPClassUID
    meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.file_meta = meta
    return image


def format_decimal(value: float, digits: int = 3) -> str:
    """Return a decimal string of at most 16 characters; raise ValueError if not finite."""
    if not isfinite(value):
        raise ValueError(f"{value} cannot be written to a header")
    text = f"{value:.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def format_date(at: datetime) -> str:
    """Return a DA value."""
    return at.strftime("%Y%m%d")


def format_time(at: datetime) -> str:
    """Return a TM value."""
    return at.strftime("%H%M%S.%f")
