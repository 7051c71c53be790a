"""Makes the small real study that `make demo` sends, from a public cine study of one patient.

Every image is written anew from an allow-list of attributes, so no attribute that identifies a
person, a device or a place is copied. Pixels are compressed without loss. The same source always
gives the same bytes.
"""

import hashlib
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import click
from pydicom import Dataset, FileDataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.sr.coding import Code
from pydicom.uid import UID, JPEGLSLossless
from pydicom.valuerep import DT
from rich.progress import track

# Folder in the source -> folder in the demo study; the short axis runs from base to apex.
SERIES = {"Se2": "sax_1", "Se3": "sax_2", "Se4": "sax_3", "Se6": "four_chamber"}

KEPT = (
    "SpecificCharacterSet",
    "ImageType",
    "SOPClassUID",
    "Modality",
    "Manufacturer",
    "SeriesDescription",
    "ManufacturerModelName",
    "BodyPartExamined",
    "ScanningSequence",
    "SequenceVariant",
    "ScanOptions",
    "MRAcquisitionType",
    "SequenceName",
    "SliceThickness",
    "RepetitionTime",
    "EchoTime",
    "InversionTime",
    "MagneticFieldStrength",
    "EchoTrainLength",
    "ProtocolName",
    "TriggerTime",
    "NominalInterval",
    "CardiacNumberOfImages",
    "FlipAngle",
    "PatientPosition",
    "SeriesNumber",
    "AcquisitionNumber",
    "InstanceNumber",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "TemporalPositionIdentifier",
    "NumberOfTemporalPositions",
    "SliceLocation",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "Rows",
    "Columns",
    "PixelSpacing",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "BurnedInAnnotation",
    "WindowCenter",
    "WindowWidth",
    "LossyImageCompression",
    "PixelData",
)
REMAPPED = ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")
WRITTEN = {
    "PatientName": "Demo^Heart",
    "PatientID": "DEMO0001",
    "PatientBirthDate": "",
    "PatientSex": "",
    "ReferringPhysicianName": "",
    "AccessionNumber": "DEMO-ACC-1",
    "StudyID": "DEMO",
    "StudyDescription": "MRI heart (demo)",
    "PositionReferenceIndicator": "",
    "PatientIdentityRemoved": "YES",
    "LongitudinalTemporalInformationModified": "MODIFIED",
    "DeidentificationMethod": "Allow-list of attributes, UIDs remapped, dates shifted",
}
PROFILE = (
    Code("113100", "DCM", "Basic Application Confidentiality Profile"),
    Code("113105", "DCM", "Clean Descriptors Option"),
    Code("113107", "DCM", "Retain Longitudinal Temporal Information Modified Dates Option"),
)
# The earliest acquisition of the demo study is moved here; the others keep their distance to it.
STUDY_START = DT("20000101120000")
LABEL = "cmr-triage demo study 1"


def remapped(original: str) -> UID:
    """The UID that replaces another one: always the same, and not reversible."""
    digest = hashlib.sha256(f"{LABEL}:{original}".encode()).digest()
    return UID(f"2.25.{int.from_bytes(digest[:16])}")


def acquired(source: Dataset) -> datetime:
    """When an image was acquired."""
    return DT(source.AcquisitionDateTime)


def coded(code: Code) -> Dataset:
    """A code as an item of a code sequence."""
    item = Dataset()
    item.CodeValue = code.value
    item.CodingSchemeDesignator = code.scheme_designator
    item.CodeMeaning = code.meaning
    return item


def file_meta(source: FileDataset) -> FileMetaDataset:
    """A file header without a trace of the software and its version."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = source.file_meta.TransferSyntaxUID
    meta.ImplementationClassUID = remapped("implementation")
    meta.ImplementationVersionName = "CMR_TRIAGE_DEMO"
    return meta


def set_times(image: Dataset, moment: datetime) -> None:
    """Write the shifted dates and times."""
    image.StudyDate = f"{STUDY_START:%Y%m%d}"
    image.StudyTime = f"{STUDY_START:%H%M%S.%f}"
    for what in ("Series", "Acquisition", "Content"):
        setattr(image, f"{what}Date", f"{moment:%Y%m%d}")
        setattr(image, f"{what}Time", f"{moment:%H%M%S.%f}")


def demo_image(source: FileDataset, first: datetime) -> Dataset:
    """The demo image of a source image; `first` is the study's earliest acquisition."""
    image = Dataset()
    image.file_meta = file_meta(source)
    for keyword in KEPT:
        if keyword in source:
            image[keyword] = source[keyword]
    for keyword in REMAPPED:
        setattr(image, keyword, remapped(source[keyword].value))
    for keyword, value in WRITTEN.items():
        setattr(image, keyword, value)
    image.DeidentificationMethodCodeSequence = [coded(code) for code in PROFILE]
    set_times(image, STUDY_START + (acquired(source) - first))
    image.compress(JPEGLSLossless, encoding_plugin="pyjpegls", generate_instance_uid=False)
    return image


def sources(folder: Path) -> Iterator[tuple[str, FileDataset]]:
    """Every chosen source image with its place in the demo study."""
    for series, name in SERIES.items():
        for file in sorted((folder / series).glob("*.dcm")):
            source = dcmread(file)
            yield f"{name}/phase_{int(source.InstanceNumber):02}.dcm", source


@click.command()
@click.option(
    "--source",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    required=True,
    help="Folder of the source patient, with one folder per series.",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Folder to write the demo study to.",
)
def main(source: Path, out: Path) -> None:
    """Write the de-identified demo study."""
    images = list(sources(source))
    if not images:
        raise click.ClickException(f"No series {', '.join(SERIES)} in {source}")
    first = min(acquired(image) for _, image in images)
    for place, image in track(images, description="Writing the demo study"):
        target = out / place
        target.parent.mkdir(parents=True, exist_ok=True)
        demo_image(image, first).save_as(target, enforce_file_format=True)
    click.echo(f"{len(images)} images in {out}")


if __name__ == "__main__":
    main()
