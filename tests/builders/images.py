"""Small MR images as Part 10 files, for tests of intake and selection."""

from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

SIDE = 16


def uid(*parts: object) -> str:
    """Return a UID that is the same for the same parts."""
    return str(generate_uid(prefix="1.2.826.0.1.3680043.10.43.", entropy_srcs=[repr(parts)]))


@dataclass(frozen=True)
class SliceGeometry:
    """The geometry of a slice; the axis of its normal decides the view."""

    orientation: tuple[float, ...] = (1, 0, 0, 0, 1, 0)
    position: tuple[float, ...] = (0, 0, 0)


def image(study: str = "study", series: str = "series", number: int = 1, **values: Any) -> Dataset:
    """Return one MR image; `values` replace or (None) remove elements."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = MRImageStorage
    dataset.SOPClassUID = MRImageStorage
    dataset.SOPInstanceUID = uid(study, series, number)
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.StudyInstanceUID = uid(study)
    dataset.SeriesInstanceUID = uid(study, series)
    dataset.Modality = "MR"
    dataset.PatientName = "Marked^Identifier"
    dataset.PatientID = "MARKED-ID"
    dataset.SeriesDescription = series
    dataset.InstanceNumber = number
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "M"]
    dataset.ImageOrientationPatient = list(SliceGeometry().orientation)
    dataset.ImagePositionPatient = list(SliceGeometry().position)
    dataset.PixelSpacing = [1.5, 1.5]
    dataset.Rows = dataset.Columns = SIDE
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelRepresentation = 0
    pixels = np.random.default_rng(number).integers(0, 4096, (SIDE, SIDE), np.uint16)
    dataset.PixelData = pixels.tobytes()
    for keyword, value in values.items():
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    return dataset


def cine(
    study: str, series: str, at: SliceGeometry, phases: int = 12, **values: Any
) -> list[Dataset]:
    """Return the phases of a cine at one position."""
    return [
        image(
            study,
            series,
            number,
            ImageOrientationPatient=list(at.orientation),
            ImagePositionPatient=list(at.position),
            TriggerTime=40.0 * number,
            **values,
        )
        for number in range(phases)
    ]


def part10(dataset: Dataset) -> bytes:
    """Return a data set as a Part 10 file."""
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


#: A short-axis stack along z and two long-axis planes across it.
SHORT_AXIS = tuple(SliceGeometry((1, 0, 0, 0, 1, 0), (0, 0, 10.0 * depth)) for depth in range(5))
FOUR_CHAMBER = SliceGeometry((1, 0, 0, 0, 0, 1), (0, 5, 0))
TWO_CHAMBER = SliceGeometry((0, 1, 0, 0, 0, 1), (5, 0, 0))


def cardiac_study(study: str = "study") -> list[Dataset]:
    """Return a study with a short-axis stack and two long-axis cines."""
    stack = [
        each
        for number, at in enumerate(SHORT_AXIS)
        for each in cine(study, f"cine_sax_{number}", at)
    ]
    return [
        *stack,
        *cine(study, "cine 4ch", FOUR_CHAMBER),
        *cine(study, "cine 2ch", TWO_CHAMBER),
    ]
