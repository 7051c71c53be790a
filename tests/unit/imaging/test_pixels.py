"""Every encoding gives the same values, and no stated size causes needless allocation."""

import struct
import tracemalloc
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from tests.builders.hearts import instances, selected
from tests.builders.images import image, part10
from tests.peers import real_data
from triage.dicom import header as headers
from triage.dicom.header import read_header
from triage.domain.errors import DamagedInstance
from triage.imaging.images import Image, split_frames
from triage.imaging.pixels import read_pixels
from triage.phantom.habits import Vendor


def values(dataset: Dataset) -> np.ndarray:
    content = part10(dataset)
    (pixels,) = read_pixels([Image("path", read_header(content))], lambda _path: content)
    return pixels


def stored(pixels: np.ndarray, **changes: Any) -> Dataset:
    rows, columns = pixels.shape
    return image(Rows=rows, Columns=columns, PixelData=pixels.tobytes(), **changes)


SIDE = 64
RAMP = np.arange(SIDE * SIDE, dtype=np.uint16).reshape(SIDE, SIDE) // 2


@pytest.mark.parametrize(
    "syntax", [JPEGLSLossless, JPEG2000Lossless, RLELossless, DeflatedExplicitVRLittleEndian]
)
def test_every_transfer_syntax_gives_the_same_values(syntax: UID) -> None:
    dataset = stored(RAMP)
    if syntax.is_encapsulated:
        dataset.compress(syntax, generate_instance_uid=False)
    else:
        dataset.file_meta.TransferSyntaxUID = syntax
    assert np.array_equal(values(dataset), RAMP)


def test_implicit_little_endian_gives_the_same_values() -> None:
    dataset = stored(RAMP)
    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    assert np.array_equal(values(dataset), RAMP)


@pytest.mark.parametrize(
    "name",
    ["implicit_vr_le", "deflated", "jpeg_lossless_sv1", "jpeg_lossless_p14", "j2k_lossless"],
)
def test_real_images_in_other_encodings_are_the_same(name: str) -> None:
    folder = real_data("derived_variants")
    decoded: list[np.ndarray] = []
    for file in ("no_seriesdescription", f"ts_{name}"):  # the first is the native original
        content = (folder / f"{file}.dcm").read_bytes()
        files = {file: content}
        decoded += read_pixels([Image(file, read_header(content))], files.__getitem__)
    assert np.array_equal(decoded[0], decoded[1])
    assert decoded[0].sum() == 3873140


@pytest.mark.parametrize("vendor", Vendor)
def test_a_frame_is_decoded_by_its_number(vendor: Vendor) -> None:
    instance = instances(vendor, enhanced=True)[0]
    content = part10(instance)
    images = split_frames(Image("path", read_header(content)))
    reads: list[str] = []
    decoded = read_pixels([images[7], images[0]], lambda path: reads.append(path) or content)  # type: ignore[func-returns-value]
    slope = float(images[0].header.get("RescaleSlope", 1))
    assert np.allclose(decoded[0], instance.pixel_array[7] * slope, rtol=1e-6)
    assert np.allclose(decoded[1], instance.pixel_array[0] * slope, rtol=1e-6)
    assert reads == ["path"]


def test_values_are_rescaled_unless_the_slope_is_zero() -> None:
    assert np.array_equal(values(stored(RAMP, RescaleSlope=2, RescaleIntercept=-1)), RAMP * 2.0 - 1)
    assert np.array_equal(values(stored(RAMP, RescaleSlope=0, RescaleIntercept=5)), RAMP)


def test_overlay_bits_are_not_brightness() -> None:
    with_overlay = RAMP | np.where(RAMP % 3 == 0, 0x8000, 0).astype(np.uint16)
    assert np.array_equal(values(stored(with_overlay)), RAMP)


def test_signed_values_keep_their_sign() -> None:
    signed = RAMP.astype(np.int16) - 100
    dataset = stored(signed, PixelRepresentation=1)
    assert np.array_equal(values(dataset), signed)
    cut = (signed & 0x0FFF).astype(np.uint16)  # twelve bits, whose sign is not carried on
    assert np.array_equal(values(stored(cut, PixelRepresentation=1)), signed)


@pytest.mark.parametrize("limit", [None, 4090])
def test_padding_is_dark(limit: int | None) -> None:
    padded = RAMP.copy()
    padded[:4] = 4095
    padded[0, 0] = 4095 if limit is None else 4092
    changes = {} if limit is None else {"PixelPaddingRangeLimit": limit}
    found = values(stored(padded, PixelPaddingValue=4095, **changes))
    assert found[:4].max() == RAMP[4:].min()
    assert np.array_equal(found[4:], RAMP[4:])


def refusal_reason(dataset: Dataset) -> str:
    content = part10(dataset)
    tracemalloc.start()
    try:
        with pytest.raises(DamagedInstance) as error:
            read_pixels([Image("path", read_header(content))], lambda _path: content)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 << 20
    return str(error.value)


def test_a_header_that_states_gigabytes_allocates_none() -> None:
    assert (
        refusal_reason(image(Rows=65535, Columns=65535))
        == "65535 x 65535 pixels are too many for an MR image"
    )


def test_a_stream_that_states_more_than_its_header_is_refused() -> None:
    dataset = stored(RAMP)
    dataset.compress(JPEG2000Lossless, generate_instance_uid=False)
    at = dataset.PixelData.index(b"\xff\x4f\xff\x51") + 8
    dataset.PixelData = (
        dataset.PixelData[:at] + struct.pack(">II", 60000, 60000) + dataset.PixelData[at + 8 :]
    )
    assert "another size than the header states" in refusal_reason(dataset)


def test_a_huge_real_file_is_refused() -> None:
    content = (real_data("derived_variants") / "bad_rows_huge.dcm").read_bytes()
    with pytest.raises(DamagedInstance, match="are too many for an MR image"):
        read_pixels([Image("x", read_header(content))], lambda _path: content)


def test_a_data_set_that_inflates_too_much_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dataset = image(Rows=2048, Columns=2048, PixelData=bytes(2048 * 2048 * 2))
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    content = part10(dataset)
    assert len(content) < 100_000
    read_header(content)
    monkeypatch.setattr(headers, "MOST_INFLATED", 1 << 22)
    for read in (read_header, headers.read_identity):
        with pytest.raises(DamagedInstance, match="inflates to more than"):
            read(content)


def test_headers_do_not_keep_the_pixels_in_memory() -> None:
    tracemalloc.start()
    try:
        kept = [
            read_header(part10(image(Rows=1024, Columns=1024, PixelData=bytes(1 << 21))))
            for _ in range(10)
        ]
        current, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(kept) == 10
    assert current < 1 << 21


def test_a_compressed_image_without_frames_is_damage() -> None:
    dataset = stored(RAMP)
    dataset.file_meta.TransferSyntaxUID = JPEG2000Lossless
    dataset.PixelData = encapsulate([bytes(2)])
    assert "does not state its size" in refusal_reason(dataset)


def test_unused_images_are_not_decoded() -> None:
    study = instances(Vendor.GE)
    used = {image.path for chosen in selected(study).used for image in chosen.images}
    assert 0 < len(used) < len(study) / 2
