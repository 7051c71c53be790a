import struct
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis.strategies import binary, integers
from pydicom.uid import EnhancedSRStorage

from tests.builders.images import SIDE, image, part10, uid
from tests.peers import real_data
from triage.dicom.header import read_header, read_identity
from triage.domain.errors import DamagedInstance


def refusal_reason(content: bytes) -> str:
    with pytest.raises(DamagedInstance) as error:
        read_identity(content)
    return str(error.value)


def test_an_instance_is_identified() -> None:
    identity = read_identity(part10(image("a", "b", 3)))
    assert identity.study_uid == uid("a")
    assert identity.series_uid == uid("a", "b")
    assert identity.sop_instance_uid == uid("a", "b", 3)
    assert identity.modality == "MR"


def test_a_report_without_pixels_is_not_damage() -> None:
    report = image(PixelData=None, SOPClassUID=EnhancedSRStorage, Modality="SR")
    assert read_identity(part10(report)).modality == "SR"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"StudyInstanceUID": None}, "StudyInstanceUID is missing"),
        ({"SeriesInstanceUID": ""}, "SeriesInstanceUID is missing"),
        ({"StudyInstanceUID": "../../etc/passwd"}, "StudyInstanceUID is not a UID"),
        ({"StudyInstanceUID": "1." + "2" * 70}, "StudyInstanceUID is not a UID"),
        ({"StudyInstanceUID": "."}, "StudyInstanceUID is not a UID"),
        ({"PixelData": None}, "an image without pixel data"),
        ({"Rows": 512}, "shorter than the header states"),
        ({"Rows": 0}, "an empty image"),
        ({"Rows": None}, "Rows is missing"),
    ],
)
def test_damage_is_refused_with_its_reason(change: dict[str, Any], message: str) -> None:
    assert message in refusal_reason(part10(image(**change)))


def test_uid_components_may_begin_with_zero() -> None:
    assert read_identity(part10(image(StudyInstanceUID="1.2.0840.05"))).study_uid == "1.2.0840.05"


def test_a_header_that_does_not_parse_is_damage() -> None:
    with pytest.raises(DamagedInstance):
        read_header(b"no dicom at all")


@given(cut=integers(0, 1200))
@settings(deadline=None)
def test_a_truncated_instance_is_damage(cut: int) -> None:
    whole = part10(image())
    assert refusal_reason(whole[: min(cut, len(whole) - 1)])


@given(noise=binary(min_size=1, max_size=40), at=integers(0, 1000))
@settings(deadline=None)
def test_noise_gives_an_identity_or_damage(noise: bytes, at: int) -> None:
    content = part10(image())
    with suppress(DamagedInstance):
        read_identity(content[:at] + noise + content[at + len(noise) :])


OUTCOMES = {
    "bad_rows_mismatch": "shorter",
    "bad_rows_huge": "shorter",
    "bad_rows_zero": "empty",
    "no_pixeldata": "an image without pixel data",
    "bad_no_transfer_syntax": "TransferSyntaxUID is missing",
    "no_sop_uid": "SOPInstanceUID is missing",
    "no_study_uid": "StudyInstanceUID is missing",
    "no_series_uid": "SeriesInstanceUID is missing",
    "uid_too_long": "not a UID",
    "bad_text_named_dcm": "does not parse",
    "bad_png_named_dcm": "does not parse",
    "enhanced_mr_bad_framecount": "shorter",
}


@pytest.mark.parametrize("name", OUTCOMES)
def test_real_damaged_files_are_refused(name: str) -> None:
    path = real_data("derived_variants") / f"{name}.dcm"
    assert OUTCOMES[name] in refusal_reason(path.read_bytes())


def test_every_other_unusual_file_is_accepted() -> None:
    folder = real_data("derived_variants")
    without_preamble = {"ok_no_preamble"}  # an association cannot deliver such a file
    for path in sorted(folder.glob("*.dcm")):
        if path.stem not in OUTCOMES.keys() | without_preamble:
            assert read_identity(path.read_bytes()).sop_instance_uid, path.name


def test_a_whole_real_study_is_identified() -> None:
    files = sorted(Path(real_data("siemens_vida_cine")).rglob("*.dcm"))
    identities = [read_identity(path.read_bytes()) for path in files]
    assert len({identity.sop_instance_uid for identity in identities}) == 275
    assert len({identity.series_uid for identity in identities}) == 11


def test_a_data_set_that_only_claims_to_be_deflated_is_refused_in_these_words() -> None:
    content = part10(image()).replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.1.99", 1)
    meta = struct.unpack_from("<L", content, 140)[0]
    at = content.index(b"1.2.840.10008.1.2.1.99") - 2
    content = content[:at] + struct.pack("<H", 22) + content[at + 2 :]
    content = content[:140] + struct.pack("<L", meta + 2) + content[144:]
    with pytest.raises(DamagedInstance, match="is not deflated, although its transfer syntax"):
        read_identity(content)


def test_subsampled_colour_is_not_truncated() -> None:
    pixels = bytes(SIDE * SIDE * 2)
    colour = image(
        PhotometricInterpretation="YBR_FULL_422",
        SamplesPerPixel=3,
        BitsAllocated=8,
        BitsStored=8,
        HighBit=7,
        PlanarConfiguration=0,
        PixelData=pixels,
    )
    assert read_identity(part10(colour)).sop_instance_uid
