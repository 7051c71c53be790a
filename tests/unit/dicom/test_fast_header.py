"""The fast header reader gives the same results as pydicom."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import DataElement, Dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    MRImageStorage,
    RLELossless,
)

from tests.builders.images import image, part10
from triage.dicom import fast_header as head
from triage.dicom.fast_header import read_file_identity, scan_header
from triage.dicom.header import read_identity
from triage.domain.errors import DamagedInstance
from triage.domain.instance import Identity


def implicit() -> Dataset:
    dataset = image()
    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    return dataset


def nested() -> Dataset:
    """Nested sequences of undefined length, as many scanners write."""
    dataset, inner = image(), Dataset()
    inner.ReferencedSOPClassUID, inner.StudyInstanceUID = MRImageStorage, "1.2.3"
    outer = Dataset()
    outer.ReferencedImageSequence = Sequence([inner, inner])
    outer["ReferencedImageSequence"].is_undefined_length = True
    outer.is_undefined_length_sequence_item = True
    dataset.ReferencedStudySequence = Sequence([outer])
    dataset["ReferencedStudySequence"].is_undefined_length = True
    return dataset


def compressed() -> Dataset:
    dataset = image()
    dataset.compress(RLELossless, generate_instance_uid=False)
    return dataset


def cine() -> Dataset:
    return image(CardiacNumberOfImages=25, ImagePositionPatient=["-12.50", "3.1E+1", "-0.25"])


def philips() -> Dataset:
    """A Philips cine: the number of phases is in a private element."""
    dataset = image()
    dataset.private_block(0x2001, "Philips Imaging DD 001", create=True).add_new(0x17, "SL", 30)
    return dataset


PLAIN = {
    "explicit": image,
    "implicit": implicit,
    "nested": nested,
    "compressed": compressed,
    "cine": cine,
    "philips": philips,
}


def pydicom_result(content: bytes) -> Identity | None:
    try:
        return read_identity(content)
    except DamagedInstance:
        return None


@pytest.mark.parametrize("kind", PLAIN)
def test_a_plain_file_is_read_without_pydicom(kind: str) -> None:
    content = part10(PLAIN[kind]())
    assert scan_header(content) == read_identity(content)


@pytest.mark.parametrize("images", [None, 0, 7, 25, 99_999, 999_999_999])
@pytest.mark.parametrize("place", [None, [1, -2.5, 3], ["1234567890.12345"] * 6])
def test_evidence_of_completeness_is_read_without_pydicom(
    images: int | None, place: object
) -> None:
    dataset = image()
    dataset.CardiacNumberOfImages, dataset.ImagePositionPatient = images, place
    content = part10(dataset)
    assert scan_header(content) is not None
    assert scan_header(content) == read_identity(content)


@pytest.mark.parametrize("stated_first", [None, 0, 12])
@pytest.mark.parametrize(
    ("positions", "images"), [(None, 0), (0, 0), (1, 0), (25, 25), (99_999, 10_000)]
)
def test_temporal_positions_count_a_cine_if_nothing_else_does(
    positions: int | None, images: int, stated_first: int | None
) -> None:
    dataset = image()
    dataset.NumberOfTemporalPositions, dataset.CardiacNumberOfImages = positions, stated_first
    content = part10(dataset)
    assert scan_header(content) == read_identity(content)
    assert read_identity(content).cardiac_images == (stated_first or images)


@pytest.mark.parametrize(
    ("stated", "accession", "is_plain"),
    [
        ("", "", True),
        (" A-17 ", "A-17", True),
        ("A" * 40, "A" * 40, True),
        ("A" * 80, "A" * 64, False),
        (["A", "B"], "", False),
        (["A17", "A17 "], "A17", False),
        ("Ä17", "Ä17", False),
    ],
)
def test_the_accession_number_is_read_as_it_is_stated(
    stated: object, accession: str, *, is_plain: bool
) -> None:
    content = part10(image(SpecificCharacterSet="ISO_IR 100", AccessionNumber=stated))
    assert read_identity(content).accession_number == accession
    assert scan_header(content) == (read_identity(content) if is_plain else None)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
@pytest.mark.parametrize(("phases", "images"), [(30, 30), (1, 0), (0, 0), (-3, 0), (99_999, 0)])
def test_the_private_number_of_phases_of_philips_is_read(
    syntax: UID, phases: int, images: int
) -> None:
    dataset = philips()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset[0x20011017].value = phases
    content = part10(dataset)
    assert read_identity(content).cardiac_images == images
    assert scan_header(content) == read_identity(content)


def test_the_private_number_of_phases_is_read_from_un() -> None:
    dataset = philips()
    dataset[0x20011017] = DataElement(0x20011017, "UN", (30).to_bytes(4, "little"))
    content = part10(dataset)
    assert read_identity(content).cardiac_images == 30
    assert scan_header(content) == read_identity(content)


def test_the_private_block_of_another_vendor_is_ignored() -> None:
    dataset = image()
    dataset.private_block(0x2001, "ANOTHER VENDOR", create=True).add_new(0x17, "SL", 30)
    content = part10(dataset)
    assert read_identity(content).cardiac_images == 0
    assert scan_header(content) == read_identity(content)


def test_a_deflated_file_is_left_to_pydicom() -> None:
    dataset = image()
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    assert scan_header(part10(dataset)) is None


@pytest.mark.parametrize("vr", [b"SQ", b"UN", b"OF", b"US", b"LO"])
def test_pixel_data_of_another_vr_is_left_to_pydicom(vr: bytes) -> None:
    content = part10(image()).replace(b"\xe0\x7f\x10\0OW", b"\xe0\x7f\x10\0" + vr)
    assert b"\xe0\x7f\x10\0" + vr in content
    assert scan_header(content) is None


@pytest.mark.parametrize("kind", PLAIN)
@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_altered_bytes_give_the_result_of_pydicom(kind: str, data: st.DataObject) -> None:
    content = bytearray(part10(PLAIN[kind]()))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(128, min(len(content) - 1, 1500)))
        content[at] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, 40) | st.integers(0, len(content)))
    altered = bytes(content[: len(content) - cut])
    quick = scan_header(altered)
    if quick is not None:
        assert quick == pydicom_result(altered)


@pytest.mark.parametrize("kind", PLAIN)
@pytest.mark.parametrize("cut", [0, 100])
def test_a_large_file_gives_the_same_result_without_loading_its_pixels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, cut: int
) -> None:
    monkeypatch.setattr(head, "scan_header", lambda _: None)
    monkeypatch.setattr(head, "IN_MEMORY", 0)
    monkeypatch.setattr(head, "DEFERRED", 64)
    content = part10(PLAIN[kind]())
    content = content[: len(content) - cut]
    path = tmp_path / "one"
    path.write_bytes(content)
    expected = pydicom_result(content)
    if expected is None:
        with pytest.raises(DamagedInstance):
            read_file_identity(path)
    else:
        assert read_file_identity(path) == expected
