"""One damaged element never loses an image in silence: it is noted, or the refusal names it."""

import re
import struct
import warnings
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.datadict import tag_for_keyword
from pydicom.tag import Tag

from tests.builders.damaged import (
    DamagedElement,
    ElementPlace,
    damaged_item,
    encode,
    encode_openly,
    iterate,
    list_elements,
)
from tests.builders.hearts import VIEWS, instances
from tests.builders.images import image, part10
from triage.dicom.fast_header import scan_header
from triage.dicom.header import Header, parse_header, read_header, read_identity
from triage.dicom.patient import refuse_two_patients
from triage.dicom.unreadable import drop_unreadable
from triage.domain.errors import DamagedInstance, StudyDeclined
from triage.imaging.images import open_image
from triage.imaging.series import select_views
from triage.phantom.habits import Vendor
from triage.reports.header import patient_and_study_header

#: Refusals because several elements do not agree with the pixel data.
SIZES = {
    "the header describes an empty image",
    "the pixel data is shorter than the header states",
    "an image without pixel data; the file is incomplete",
}
VRS = [b"UN", b"OB", b"SQ", b"US", b"UI", b"DS", b"IS", b"FD", b"LO", b"PN", b"UT", b"AT", b"DA"]


def with_unknown_vr(keyword: str) -> bytes:
    """Return an image in which one element has an unknown value representation."""
    content, tag = part10(image()), Tag(keyword)
    at = content.index(struct.pack("<HH", tag.group, tag.element))
    return content[: at + 4] + b"XX" + content[at + 6 :]


def with_element(keyword: str, vr: str, value: bytes) -> bytes:
    """Return an image with one more element, written as it is given."""
    content, tag = part10(image()), Tag(keyword)
    element = struct.pack("<HH", tag.group, tag.element) + encode(vr.encode(), value)
    at = content.index(b"\xe0\x7f\x10\0OW")
    return content[:at] + element + content[at:]


def test_a_header_with_a_needed_element_that_cannot_be_read_is_damage() -> None:
    with pytest.raises(DamagedInstance, match="ImageOrientationPatient"):
        read_header(with_unknown_vr("ImageOrientationPatient"))


@pytest.mark.parametrize(
    ("keyword", "vr", "value"),
    [
        ("SmallestImagePixelValue", "US", b"\1\0\2"),
        ("FlipAngle", "FD", b"\1\2\3"),
        ("RescaleType", "FD", b"\0\0\0\0"),
        ("ReferencedImageSequence", "UL", b"\0\0\0"),
        ("ReferencedImageSequence", "OB", b"\0\0"),
        ("TriggerTime", "DS", b"soon"),
        ("TriggerTime", "DS", b"inf "),
        ("TriggerTime", "OB", b"12"),
        ("ProtocolName", "FD", bytes(8)),
    ],
)
def test_an_element_that_is_not_needed_is_dropped_and_noted(
    keyword: str, vr: str, value: bytes
) -> None:
    header = parse_header(with_element(keyword, vr, value))
    assert keyword not in header.dataset
    assert header.dropped == {keyword}
    assert header.dataset.SOPInstanceUID == image().SOPInstanceUID


@pytest.mark.parametrize(
    ("keyword", "vr", "value"),
    [
        ("TriggerTime", "FD", struct.pack("<d", 12.5)),
        ("TriggerTime", "LO", b"12.5"),
        ("TriggerTime", "DS", b""),
        ("StudyID", "IS", b"7 "),
        ("SmallestImagePixelValue", "SS", b"\1\0"),
    ],
)
def test_another_vr_of_the_same_kind_is_read(keyword: str, vr: str, value: bytes) -> None:
    header = parse_header(with_element(keyword, vr, value))
    assert keyword in header.dataset
    assert not header.dropped


@pytest.mark.parametrize("keyword", ["Rows", "BitsStored", "Modality", "RescaleSlope"])
def test_a_needed_element_that_cannot_be_read_is_named(keyword: str) -> None:
    with pytest.raises(DamagedInstance, match=f"{keyword} cannot be read"):
        read_header(with_element(keyword, "US", b"\1\0\2"))


def test_a_private_element_cannot_refuse_an_image() -> None:
    content = part10(image())
    at = content.index(b"\xe0\x7f\x10\0OW")
    broken = struct.pack("<HH", 0x0029, 0x1010) + encode(b"FD", b"\1\2\3")
    assert not parse_header(content[:at] + broken + content[at:]).dropped


@pytest.mark.parametrize("keyword", ["Modality", "Rows", "NumberOfFrames", "SOPInstanceUID"])
def test_the_reception_names_the_element_for_both_readers(keyword: str) -> None:
    content = with_element(keyword, "US", b"\1\0\2")
    assert scan_header(content) is None
    with pytest.raises(DamagedInstance, match=f"{keyword} cannot be read"):
        read_identity(content)


def test_a_character_set_that_cannot_be_read_is_named() -> None:
    with pytest.raises(DamagedInstance, match="at or after SpecificCharacterSet"):
        read_identity(with_element("SpecificCharacterSet", "OB", b"\0"))


def test_the_reception_says_where_a_file_stops_to_parse() -> None:
    item = Dataset()
    item.ScheduledProcedureStepID = "MARKED-STEP"
    content = encode_openly(image(RequestAttributesSequence=[item]))
    cut = content[: content.index(b"MARKED-STEP") + 12]
    with pytest.raises(DamagedInstance, match="at or after RequestAttributesSequence"):
        read_identity(cut)


def test_an_unreadable_element_of_a_frame_is_dropped_alone() -> None:
    frame, macro = Dataset(), damaged_item("FlipAngle", "FD", b"\1\2\3")
    macro.EffectiveEchoTime = 1.5
    frame.MREchoSequence = [macro]
    header = image(PerFrameFunctionalGroupsSequence=[frame])
    assert drop_unreadable(header) == {"FlipAngle"}
    (left,) = header.PerFrameFunctionalGroupsSequence[0].MREchoSequence
    assert (left.EffectiveEchoTime, "FlipAngle" in left) == (1.5, False)


def test_a_frame_without_a_readable_position_is_named() -> None:
    frame = Dataset()
    frame.PlanePositionSequence = [damaged_item("ImagePositionPatient", "US", b"\1\0\2")]
    with pytest.raises(DamagedInstance, match="ImagePositionPatient"):
        drop_unreadable(image(PerFrameFunctionalGroupsSequence=[frame]))


def test_the_same_element_in_a_sequence_that_is_not_needed_is_dropped() -> None:
    item = damaged_item("StudyInstanceUID", "US", b"\1\0\2")
    header = image(RequestAttributesSequence=[item])
    assert drop_unreadable(header) == {"StudyInstanceUID"}
    assert header.StudyInstanceUID


def test_the_needed_elements_of_another_data_set_are_found_in_its_needed_sequences() -> None:
    item = damaged_item("ReferencedSOPInstanceUID", "US", b"\1\0\2")
    series = Dataset()
    series.ReferencedSOPSequence = [item]
    with pytest.raises(DamagedInstance, match="ReferencedSOPInstanceUID"):
        drop_unreadable(series, ("ReferencedSOPSequence", "ReferencedSOPInstanceUID"))
    assert drop_unreadable(series, ("ReferencedSOPInstanceUID",)) == {"ReferencedSOPInstanceUID"}


# -- any element, any damage


@cache
def phantom(*, enhanced: bool) -> bytes:
    return encode_openly(instances(Vendor.SIEMENS, enhanced=enhanced)[0])


@cache
def places(*, enhanced: bool) -> list[ElementPlace]:
    return list_elements(phantom(enhanced=enhanced))


@st.composite
def elements(draw: st.DrawFn) -> DamagedElement:
    enhanced = draw(st.booleans())
    place = draw(st.sampled_from(places(enhanced=enhanced)))
    return DamagedElement(phantom(enhanced=enhanced), place)


def judge(content: bytes) -> Header | str:
    """Return the header, or the refusal; every access that follows is tried."""
    try:
        read_identity(content)
        header = parse_header(content)
    except DamagedInstance as error:
        return str(error)
    list(iterate(header.dataset))
    image = open_image("one", content)
    select_views([image], VIEWS)
    try:
        refuse_two_patients([image.header], "1.2.3")
    except StudyDeclined as error:
        return str(error)
    patient_and_study_header([image.header])
    return header


def is_named(refusal: str) -> bool:
    words = re.findall(r"[A-Z]\w+", refusal)
    return refusal in SIZES or any(tag_for_keyword(word) for word in words)


def count_elements(header: Dataset, keyword: str) -> int:
    """Return the number of elements of a data set that an element contains."""
    element = header[keyword]
    items = element.value if element.VR == "SQ" else []
    return sum(1 for item in items for _ in item.iterall())


def assert_named_or_noted(damaged: DamagedElement, content: bytes) -> None:
    place, top = damaged.place, damaged.place.top
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = judge(content)
        before = read_header(damaged.content)
    if isinstance(found, str):
        assert found in SIZES or any(keyword in found for keyword in place.keywords if keyword)
        return
    for element in before:
        if element.keyword != top:
            assert found.dataset.get(element.tag) == element
    if not top or found.dropped:
        assert top or not found.dropped  # a private element is not noted
        return
    assert top in found.dataset
    if not place.is_sequence and "" not in place.keywords:
        assert count_elements(found.dataset, top) == count_elements(before, top)


@settings(max_examples=200, deadline=None)
@given(damaged=elements(), value=st.binary(max_size=20), vr=st.none() | st.sampled_from(VRS))
def test_an_element_with_any_value_is_read_noted_or_named(
    damaged: DamagedElement, value: bytes, vr: bytes | None
) -> None:
    assert_named_or_noted(damaged, damaged.with_value(value, vr))


@settings(max_examples=100, deadline=None)
@given(damaged=elements(), vr=st.sampled_from(VRS))
def test_an_element_with_any_vr_is_read_noted_or_named(damaged: DamagedElement, vr: bytes) -> None:
    assert_named_or_noted(damaged, damaged.with_value(damaged.value, vr))


@settings(max_examples=200, deadline=None)
@given(damaged=elements(), by=st.integers(-20, 40).filter(bool))
def test_a_length_field_that_is_wrong_is_read_or_named(damaged: DamagedElement, by: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = judge(damaged.with_length(len(damaged.value) + by))
    assert not isinstance(found, str) or is_named(found), found
