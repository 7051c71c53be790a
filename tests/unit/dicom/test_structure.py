"""No data set is built that has more items, elements or nesting than an image needs."""

import random
import resource
import struct
import time
import tracemalloc
import warnings
from collections.abc import Callable
from functools import partial
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset, dcmread
from pydicom.sequence import Sequence
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from tests.builders.images import image, part10
from triage.dicom import structure
from triage.dicom.fast_header import read_file_identity
from triage.dicom.header import parse_header, read_identity, read_patient_id
from triage.dicom.structure import MOST_DEPTH, MOST_ITEMS, _Count, find_data_set
from triage.dicom.unreadable import UNREADABLE
from triage.domain.errors import DamagedInstance, OversizedDataSet

ITEM = struct.pack("<HHL", 0xFFFE, 0xE000, 0)
#: Referenced Image Sequence (0008,1140), which is in the header before pixel data.
STATED = struct.pack("<HH2sxxL", 0x0008, 0x1140, b"SQ", 0)
HUNDRED_MB = 100 << 20


def with_sequence(value: bytes, *, is_undefined: bool = False) -> bytes:
    """Return an image with an encoded sequence as its (0008,1140)."""
    content = part10(image(ReferencedImageSequence=[]))
    length = 0xFFFFFFFF if is_undefined else len(value)
    header = struct.pack("<HH2sxxL", 0x0008, 0x1140, b"SQ", length)
    end = struct.pack("<HHL", 0xFFFE, 0xE0DD, 0) if is_undefined else b""
    before, after = content.split(STATED)
    return before + header + value + end + after


def write_items(path: Path, size: int, *, is_undefined: bool) -> None:
    """Write a file of empty items; pydicom takes the zeros of its sparse rest for items as well."""
    content = with_sequence(ITEM * MOST_ITEMS * 2, is_undefined=is_undefined)
    if not is_undefined:
        header = STATED[:8] + struct.pack("<L", 16 * MOST_ITEMS)
        content = content.replace(header, STATED[:8] + struct.pack("<L", size - 1000))
    with path.open("wb") as file:
        file.write(content[: -len(image().PixelData) - 12 - 8 * is_undefined])
        file.truncate(size)


@pytest.mark.parametrize("is_undefined", [False, True])
def test_a_file_of_300_mb_of_empty_items_is_refused_in_little_memory(
    tmp_path: Path, *, is_undefined: bool
) -> None:
    path = tmp_path / "items.dcm"
    write_items(path, 300_000_000, is_undefined=is_undefined)
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    tracemalloc.start()
    try:
        with pytest.raises(OversizedDataSet, match=f"more than {MOST_ITEMS} items"):
            read_file_identity(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1 << 20
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < HUNDRED_MB >> 10
    assert time.process_time() - began < 10


READERS: list[Callable[[bytes], object]] = [parse_header, read_identity]


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("is_undefined", [False, True])
def test_every_reader_refuses_too_many_items(
    read: Callable[[bytes], object], *, is_undefined: bool
) -> None:
    content = with_sequence(ITEM * (MOST_ITEMS + 1), is_undefined=is_undefined)
    with pytest.raises(OversizedDataSet):
        read(content)
    assert not read_patient_id(content)


@pytest.mark.parametrize("read", READERS)
def test_items_after_the_pixel_data_count(read: Callable[[bytes], object]) -> None:
    header = struct.pack("<HH2sxxL", 0xFFFA, 0xFFFA, b"SQ", 8 * MOST_ITEMS + 8)
    with pytest.raises(OversizedDataSet):
        read(part10(image()) + header + ITEM * (MOST_ITEMS + 1))


@pytest.mark.parametrize("read", READERS)
def test_too_many_elements_are_refused(
    read: Callable[[bytes], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    content = part10(image())
    read(content)
    monkeypatch.setattr(structure, "MOST_ELEMENTS", 10)
    with pytest.raises(OversizedDataSet, match="more than 10 elements"):
        read(content)


def nested(depth: int, *, is_undefined: bool) -> Dataset:
    dataset = Dataset()
    dataset.PatientID = "1"
    for level in range(depth):
        outer = image() if level == depth - 1 else Dataset()
        outer.ContentSequence = Sequence([dataset])
        outer["ContentSequence"].is_undefined_length = is_undefined
        dataset.is_undefined_length_sequence_item = is_undefined
        dataset = outer
    return dataset


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("is_undefined", [False, True])
def test_deep_nesting_is_refused(
    tmp_path: Path, read: Callable[[bytes], object], *, is_undefined: bool
) -> None:
    read(part10(nested(MOST_DEPTH, is_undefined=is_undefined)))
    content = part10(nested(MOST_DEPTH + 1, is_undefined=is_undefined))
    path = tmp_path / "deep.dcm"
    path.write_bytes(content)
    for attempt in (partial(read, content), partial(read_file_identity, path)):
        with pytest.raises(OversizedDataSet, match=f"nest deeper than {MOST_DEPTH}"):
            attempt()


def test_a_deflated_file_is_inflated_within_its_bound_and_counted(tmp_path: Path) -> None:
    dataset = dcmread(BytesIO(with_sequence(ITEM * (MOST_ITEMS + 1))))
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    content = part10(dataset)
    assert len(content) < 100_000
    path = tmp_path / "deflated.dcm"
    path.write_bytes(content)
    with pytest.raises(OversizedDataSet, match="items"):
        read_file_identity(path)


def test_unusual_file_meta_information_is_not_tried_in_a_large_file(tmp_path: Path) -> None:
    content = part10(image())
    unusual = content[:132] + b"\2\0\0\0\4\0\0\0" + content[140:]
    path = tmp_path / "unusual.dcm"
    path.write_bytes(unusual)
    with path.open("ab") as file:
        file.truncate(8 * MOST_ITEMS)
    with pytest.raises(OversizedDataSet, match="unusual"):
        read_file_identity(path)


def built(dataset: Dataset) -> tuple[int, int]:
    """Return how many items and elements pydicom builds, all sequences converted."""
    items = elements = 0
    for tag in list(dataset.keys()):
        elements += 1
        try:
            element = dataset[tag]
        except UNREADABLE:
            continue
        for item in element.value if element.VR == "SQ" else ():
            inner = built(item)
            items, elements = items + 1 + inner[0], elements + inner[1]
    return items, elements


def sample(syntax: UID, *, is_undefined: bool) -> bytes:
    dataset = nested(3, is_undefined=is_undefined)
    dataset.ReferencedImageSequence = Sequence([Dataset(), nested(1, is_undefined=is_undefined)])
    dataset.file_meta.TransferSyntaxUID = syntax
    return part10(dataset)


SYNTAXES = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian)
SAMPLES = [sample(syntax, is_undefined=flag) for syntax in SYNTAXES for flag in (False, True)]


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(SAMPLES), st.integers(0, 2**32))
def test_not_less_is_counted_than_pydicom_builds(content: bytes, seed: int) -> None:
    draw = random.Random(seed)
    altered = bytearray(content)
    for _ in range(draw.choice([0, 1, 1, 2, 5, 20])):
        at = draw.randrange(132, len(altered))
        altered[at] = draw.choice([0, 1, 8, 255, draw.randrange(256)])
    if draw.random() < 0.3:
        del altered[draw.randrange(132, len(altered)) :]
    found = find_data_set(bytes(altered))
    if found is None:
        return
    start, syntax = found
    counted = _count(bytes(altered), start, syntax)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            items, elements = built(dcmread(BytesIO(altered)))
        except (*UNREADABLE, DamagedInstance):
            return
    assert items <= counted[0]
    assert elements <= counted[1]


def _count(content: bytes, start: int, syntax: str) -> tuple[int, int]:
    count = _Count(content)
    order = structure.BIG if syntax == ExplicitVRBigEndian else structure.LITTLE
    place = structure._Place(len(content), order, syntax == ImplicitVRLittleEndian)
    try:
        count.follow_data_set(start, place, None)
    except struct.error:
        pass
    except OversizedDataSet:
        return MOST_ITEMS, structure.MOST_ELEMENTS
    return count.items, count.elements
