"""The demo study is small, sound and de-identified, and its pixels equal the source's.

The allowed attributes are listed here a second time, so that a defect of the builder is found.
"""

import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from pydicom import FileDataset, dcmread
from pydicom.uid import JPEGLSLossless

ROOT = Path(__file__).parents[3]
STUDY = ROOT / "triage" / "demo_study"
SERIES = {"sax_1": "Se2", "sax_2": "Se3", "sax_3": "Se4", "four_chamber": "Se6"}
FILES = sorted(STUDY.rglob("*.dcm"))
ATTRIBUTES = {
    "SpecificCharacterSet",
    "ImageType",
    "SOPClassUID",
    "SOPInstanceUID",
    "StudyDate",
    "SeriesDate",
    "AcquisitionDate",
    "ContentDate",
    "StudyTime",
    "SeriesTime",
    "AcquisitionTime",
    "ContentTime",
    "AccessionNumber",
    "Modality",
    "Manufacturer",
    "ReferringPhysicianName",
    "StudyDescription",
    "SeriesDescription",
    "ManufacturerModelName",
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "PatientIdentityRemoved",
    "DeidentificationMethod",
    "DeidentificationMethodCodeSequence",
    "CodeValue",
    "CodingSchemeDesignator",
    "CodeMeaning",
    "BodyPartExamined",
    "ScanningSequence",
    "SequenceVariant",
    "ScanOptions",
    "MRAcquisitionType",
    "SequenceName",
    "SliceThickness",
    "RepetitionTime",
    "EchoTime",
    "MagneticFieldStrength",
    "EchoTrainLength",
    "ProtocolName",
    "TriggerTime",
    "NominalInterval",
    "CardiacNumberOfImages",
    "FlipAngle",
    "PatientPosition",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "StudyID",
    "SeriesNumber",
    "AcquisitionNumber",
    "InstanceNumber",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "FrameOfReferenceUID",
    "NumberOfTemporalPositions",
    "PositionReferenceIndicator",
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
    "LongitudinalTemporalInformationModified",
    "WindowCenter",
    "WindowWidth",
    "LossyImageCompression",
    "PixelData",
}
HEADER = {
    "FileMetaInformationGroupLength",
    "FileMetaInformationVersion",
    "MediaStorageSOPClassUID",
    "MediaStorageSOPInstanceUID",
    "TransferSyntaxUID",
    "ImplementationClassUID",
    "ImplementationVersionName",
}
FROM_SOURCE = (
    "ImageType",
    "SeriesDescription",
    "SequenceName",
    "TriggerTime",
    "NominalInterval",
    "InstanceNumber",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "SliceThickness",
    "SliceLocation",
)


@cache
def demo_images() -> list[FileDataset]:
    return [dcmread(file) for file in FILES]


@pytest.fixture(scope="module")
def source_folder() -> Path:
    data = Path(os.environ.get("TRIAGE_REAL_DATA", ROOT.parent / "shared" / "data"))
    folder = data / "siemens_vida_cine" / "patient1"
    if not folder.is_dir():
        pytest.skip(f"the source of the demo study is not here: {folder}")
    return folder


@pytest.fixture(scope="module")
def source_images(source_folder: Path) -> dict[str, FileDataset]:
    """Return the source images by their place in the demo study."""
    return {
        f"{name}/phase_{int(image.InstanceNumber):02}.dcm": image
        for name, series in SERIES.items()
        for image in map(dcmread, (source_folder / series).iterdir())
    }


def telling_values(image: FileDataset) -> Iterator[str]:
    """Return UIDs, dates, times and names that could identify the patient, at any depth."""
    for element in [*image.file_meta, *image.iterall()]:
        if element.VR in {"UI", "DA", "DT", "TM", "PN"} or element.keyword == "PatientID":
            values = element.value if element.VM > 1 else [element.value]
            yield from (str(value) for value in values if value)
        if element.VR == "DT" and element.value:
            yield str(element.value)[:8]


def values_of(keyword: str) -> set[str]:
    return {str(image[keyword].value) for image in demo_images()}


def test_one_patient_one_study_four_series_hundred_images() -> None:
    assert len(FILES) == len(values_of("SOPInstanceUID")) == 100
    assert len(values_of("SeriesInstanceUID")) == 4
    for keyword in ("StudyInstanceUID", "FrameOfReferenceUID", "StudyDate", "StudyTime"):
        assert len(values_of(keyword)) == 1
    assert values_of("PatientID") == {"DEMO0001"}
    assert values_of("PatientName") == {"Demo^Heart"}
    assert values_of("AccessionNumber") == {"DEMO-ACC-1"}


@pytest.mark.parametrize("name", SERIES)
def test_a_folder_is_a_series_of_25_phases(name: str) -> None:
    images = [dcmread(file) for file in sorted((STUDY / name).iterdir())]
    assert len({image.SeriesInstanceUID for image in images}) == 1
    assert [image.InstanceNumber for image in images] == list(range(1, 26))
    times = [image.TriggerTime for image in images]
    assert times == sorted(set(times))


def test_the_short_axis_slices_are_neighbours() -> None:
    slices = [dcmread(STUDY / name / "phase_01.dcm") for name in ("sax_1", "sax_2", "sax_3")]
    assert len({tuple(image.ImageOrientationPatient) for image in slices}) == 1
    steps = np.diff([image.ImagePositionPatient for image in slices], axis=0)
    np.testing.assert_allclose(steps[0], steps[1], atol=0.01)


def test_only_the_listed_attributes_and_none_private() -> None:
    for image in demo_images():
        assert {element.keyword for element in image.iterall()} == ATTRIBUTES
        assert {element.keyword for element in image.file_meta} == HEADER
        assert not any(element.tag.is_private for element in image.iterall())


def test_every_image_states_its_de_identification() -> None:
    assert values_of("PatientIdentityRemoved") == {"YES"}
    for image in demo_images():
        codes = [item.CodeValue for item in image.DeidentificationMethodCodeSequence]
        assert codes == ["113100", "113105", "113107"]


def test_every_image_decodes_with_the_worker_s_decoder() -> None:
    for image in demo_images():
        assert image.file_meta.TransferSyntaxUID == JPEGLSLossless
        image.pixel_array_options(decoding_plugin="pylibjpeg")
        assert image.pixel_array.shape == (208, 256)
        assert image.pixel_array.max() > 200


def test_the_study_is_small_and_carries_its_licence() -> None:
    assert sum(file.stat().st_size for file in STUDY.rglob("*")) < 7_000_000
    assert "Version 2.0, January 2004" in (STUDY / "LICENSE").read_text()
    assert "What was changed" in (STUDY / "README.md").read_text()


def test_pixels_geometry_and_names_are_the_source_s(source_images: dict[str, FileDataset]) -> None:
    assert len(source_images) == 100
    for place, source in source_images.items():
        image = dcmread(STUDY / place)
        image.pixel_array_options(decoding_plugin="pylibjpeg")
        np.testing.assert_array_equal(image.pixel_array, source.pixel_array)
        assert [image[keyword] for keyword in FROM_SOURCE] == [
            source[keyword] for keyword in FROM_SOURCE
        ]


def test_no_uid_date_time_or_name_of_the_source_is_left(
    source_images: dict[str, FileDataset],
) -> None:
    telling = {value for image in source_images.values() for value in telling_values(image)}
    registered = {value for value in telling if value.startswith("1.2.840.10008.")}
    telling -= registered
    assert {"20240704", "patient1"} < telling
    for file in FILES:
        content = file.read_bytes()
        assert [value for value in telling if value.encode() in content] == []
