"""No frame harms the process that asks for its pixels."""

import os
import signal
from collections.abc import Iterator

import numpy as np
import psutil
import pytest
from pydicom import Dataset

from tests.builders.code_streams import (
    RAMP,
    CompressedFrame,
    frames,
    lossless_jpeg,
    with_decoy,
    with_many_precincts,
)
from tests.builders.images import part10
from tests.unit.imaging.decoder_fuzzing import MOST_GROWTH_BYTES, FuzzReport, fuzz
from triage.dicom.header import read_header
from triage.domain.errors import DamagedInstance
from triage.imaging.decoder_child import MEMORY_BYTES
from triage.imaging.decoder_process import DecoderFailed, DecoderProcess, shared_decoder
from triage.imaging.images import Image
from triage.imaging.pixels import read_pixels

GOOD = ("JPEG", "JPEG-LS", "JPEG 2000", "RLE")
FUZZED_S = 4.0  #: tests/benchmarks/test_fuzz.py does it for longer


@pytest.fixture
def decoder() -> Iterator[DecoderProcess]:
    decoder = DecoderProcess()
    yield decoder
    decoder.close()


def decode(decoder: DecoderProcess, frame: CompressedFrame) -> np.ndarray:
    return decoder.decode(frame.stream, str(frame.syntax), frame.elements, frame.shape)


def read(dataset: Dataset) -> np.ndarray:
    content = part10(dataset)
    (pixels,) = read_pixels([Image("path", read_header(content))], lambda _path: content)
    return pixels


def test_one_child_decodes_all_frames_as_pydicom_does(decoder: DecoderProcess) -> None:
    for name in GOOD:
        frame = frames()[name]
        assert np.array_equal(decode(decoder, frame), frame.as_dataset().pixel_array), name
    assert decoder.starts == 1


def test_a_frame_that_hangs_its_decoder_is_lost_and_the_next_one_is_decoded() -> None:
    decoder, frame = DecoderProcess(frame_s=4.0), frames()["JPEG-LS"]
    decode(decoder, frame)
    assert decoder.pid is not None
    os.kill(decoder.pid, signal.SIGSTOP)
    with pytest.raises(DecoderFailed, match="did not end within 4 s"):
        decode(decoder, frame)
    assert np.array_equal(decode(decoder, frame), RAMP)
    assert decoder.starts == 2
    decoder.close()


def test_a_frame_that_ends_its_decoder_is_lost_and_the_next_one_is_decoded(
    decoder: DecoderProcess,
) -> None:
    frame = frames()["JPEG 2000"]
    decode(decoder, frame)
    assert decoder.pid is not None
    os.kill(decoder.pid, signal.SIGSEGV)
    with pytest.raises(DecoderFailed, match="ended with status -11"):
        decode(decoder, frame)
    assert np.array_equal(decode(decoder, frame), RAMP)
    assert decoder.starts == 2


def test_a_decoder_has_a_limit_of_memory(decoder: DecoderProcess) -> None:
    decode(decoder, frames()["RLE"])
    child = psutil.Process(decoder.pid)
    limit, _ = child.rlimit(psutil.RLIMIT_AS)
    assert child.memory_info().vms + MEMORY_BYTES // 2 < limit < 3 << 30
    with pytest.raises(DamagedInstance):
        decode(decoder, with_many_precincts(4096))
    assert np.array_equal(decode(decoder, frames()["RLE"]), RAMP)


def test_the_decoder_ends_with_its_connection(decoder: DecoderProcess) -> None:
    decode(decoder, frames()["RLE"])
    child = psutil.Process(decoder.pid)
    assert decoder._process is not None
    assert decoder._process.stdin is not None
    decoder._process.stdin.close()
    child.wait(10)


def test_fifty_bombs_cost_at_most_one_child_each_and_no_memory() -> None:
    good = frames()["JPEG 2000"].as_dataset()
    assert np.array_equal(read(good), RAMP)
    process, starts = psutil.Process(), shared_decoder().starts
    before = process.memory_info().rss
    for number in range(50):
        bomb = with_decoy(32768 if number % 2 else 8192)
        with pytest.raises(DamagedInstance, match="another size than the header states"):
            read(bomb.as_dataset())
    assert process.memory_info().rss - before < 50 << 20
    assert shared_decoder().starts - starts <= 50
    assert np.array_equal(read(good), RAMP)


def test_mutated_frames_are_decoded_or_refused_with_a_reason() -> None:
    check_report(fuzz(frames(), FUZZED_S))


def test_mutated_frames_of_lossless_jpeg_are_decoded_or_refused_with_a_reason() -> None:
    check_report(fuzz({"JPEG lossless": lossless_jpeg()}, FUZZED_S / 4))


def check_report(report: FuzzReport) -> None:
    print(f"\n{report}")
    assert report.frames > 0
    assert report.growth_bytes < MOST_GROWTH_BYTES
    assert report.children <= 1 + report.failed
