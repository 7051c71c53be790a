"""Mutated frames of every family, through the check of the code stream and the decoder process.

`python -m tests.unit.imaging.decoder_fuzzing SECONDS [SEED]` does it for longer.
"""

import sys
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from random import Random

import psutil

from tests.builders.code_streams import CompressedFrame, frames, lossless_jpeg, mutated
from triage.domain.errors import DamagedInstance
from triage.imaging.code_streams import FrameForm, check_code_stream
from triage.imaging.decoder_process import DecoderFailed, DecoderProcess

HANG_S = 2.0  #: a frame that takes longer is a hang: its child is killed and that is counted
MOST_GROWTH_BYTES = 50 << 20


@dataclass
class FuzzReport:
    """How many frames were decoded, refused and lost, and what that took."""

    frames: int = 0
    decoded: int = 0
    failed: int = 0  #: ended their decoder
    children: int = 0
    worst_s: float = 0.0
    growth_bytes: int = 0  #: of this process
    reasons: Counter[str] = field(default_factory=Counter)


def fuzz(samples: Mapping[str, CompressedFrame], seconds: float, seed: int = 0) -> FuzzReport:
    """Decode mutated samples; raise the first error that is no DamagedInstance."""
    report, process = FuzzReport(), psutil.Process()
    with closing(DecoderProcess(HANG_S)) as decoder:
        for frame in samples.values():  # what is loaded once, is loaded now
            _try_frame(decoder, frame, FuzzReport())
        before, until = process.memory_info().rss, time.monotonic() + seconds
        for name, frame in mutated(samples, Random(seed)):
            if time.monotonic() > until:
                break
            began = time.monotonic()
            _try_frame(decoder, frame, report, name)
            report.worst_s = max(report.worst_s, time.monotonic() - began)
        report.children = decoder.starts
        report.growth_bytes = process.memory_info().rss - before
    return report


def _try_frame(
    decoder: DecoderProcess, frame: CompressedFrame, report: FuzzReport, name: str = ""
) -> None:
    report.frames += 1
    bits = int(frame.dataset.BitsAllocated)
    try:
        check_code_stream(frame.stream, frame.syntax, FrameForm(*frame.shape, 1, bits))
        decoder.decode(frame.stream, str(frame.syntax), frame.elements, frame.shape)
        report.decoded += 1
    except DecoderFailed as error:
        report.failed += 1
        report.reasons[f"{name}: {error}"] += 1
    except DamagedInstance as error:
        report.reasons[str(error)] += 1


if __name__ == "__main__":
    number = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    print(fuzz({**frames(), "JPEG lossless": lossless_jpeg()}, float(sys.argv[1]), number))
