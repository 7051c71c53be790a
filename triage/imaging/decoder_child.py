"""The process that decodes compressed frames: `python -m triage.imaging.decoder_child`.

It is started by `decoder_process`, reads one request after another from standard input, and ends
when that is closed. Its memory is limited, so that a frame that breaks a decoder ends this process
and nothing else. The output of decoders is dropped.
"""

import json
import os
import resource
import signal
import struct
import sys
from collections.abc import Callable
from functools import partial
from io import RawIOBase
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels.utils import pixel_array

from triage.dicom.unreadable import UNREADABLE

LENGTHS = struct.Struct("<LL")  #: of the JSON before, and of the bytes after it
#: Memory for decoding beyond what the process has after its start, bytes: a frame of the largest
#: size (`pixels.MOST_PIXELS`) takes five times its 64 MiB in the JPEG 2000 decoder.
MEMORY_BYTES = 1 << 29
#: Exceptions that pydicom's decoders raise for pixel data that they cannot decode.
UNDECODABLE = (*UNREADABLE, RuntimeError, IndexError)
#: After so long this process ends itself; the worker ends it before.
ALARM_S = 60
#: A process that keeps so much memory after a frame is replaced, so that no later frame lacks it.
LEAK_BYTES = MEMORY_BYTES // 4
STATM = Path("/proc/self/statm")


def main() -> None:
    """Serve requests on standard input until it is closed; answer on standard output."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to the worker as well
    answers = os.dup(sys.stdout.fileno())
    for stream in (sys.stdout, sys.stderr):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _decode(_WARM_UP, bytes(2))  # loads the modules that are needed for every frame
    used = _used_bytes()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY_BYTES, used + MEMORY_BYTES))
    with os.fdopen(answers, "wb", buffering=0) as output:
        _serve(output, used + LEAK_BYTES)


def _serve(output: RawIOBase, most_bytes: int) -> None:
    """Answer requests; the last answer is that after which more than `most_bytes` are in use."""
    send_message(partial(_write, output), {}, b"")  # ready
    while True:
        try:
            form, frame = receive_message(_read)
        except EOFError:
            return
        signal.alarm(ALARM_S)  # ends a hung decoder if the worker has ended
        answer, content = _answer(form, frame)
        signal.alarm(0)
        answer["is_last"] = _used_bytes() > most_bytes
        send_message(partial(_write, output), answer, content)


def _used_bytes() -> int:
    """Return the address space of this process, which RLIMIT_AS limits."""
    return int(STATM.read_text("ascii").split()[0]) * resource.getpagesize()


def _answer(form: dict[str, Any], frame: bytes) -> tuple[dict[str, Any], bytes]:
    try:
        pixels = _decode(form, frame)
    except MemoryError:
        return {"error": "MemoryError"}, b""
    except UNDECODABLE as error:
        return {"error": type(error).__name__}, b""
    return {"dtype": pixels.dtype.str, "shape": pixels.shape}, pixels.tobytes()


def _decode(form: dict[str, Any], frame: bytes) -> NDArray[Any]:
    """Return the stored values of a frame whose data set has the elements of `form`."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = form["syntax"]
    for keyword, value in form["elements"].items():
        setattr(dataset, keyword, value)
    is_encapsulated = dataset.file_meta.TransferSyntaxUID.is_encapsulated
    dataset.PixelData = encapsulate([frame]) if is_encapsulated else frame
    dataset["PixelData"].VR = "OB" if is_encapsulated else "OW"
    return np.ascontiguousarray(pixel_array(dataset))


_WARM_UP = {
    "syntax": "1.2.840.10008.1.2.1",
    "elements": {
        "Rows": 1,
        "Columns": 1,
        "SamplesPerPixel": 1,
        "BitsAllocated": 16,
        "BitsStored": 16,
        "PixelRepresentation": 0,
        "PhotometricInterpretation": "MONOCHROME2",
    },
}


def send_message(send: Callable[[bytes], object], head: object, content: bytes) -> None:
    """Send a JSON value and bytes."""
    encoded = json.dumps(head).encode()
    send(LENGTHS.pack(len(encoded), len(content)) + encoded)
    if content:
        send(content)


def receive_message(
    receive: Callable[[int], bytes], most_bytes: int = 1 << 32
) -> tuple[dict[str, Any], bytes]:
    """Return a JSON object and bytes.

    Raises:
        EOFError: The connection was closed.
        ValueError: The message is longer than `most_bytes`, or no JSON.
    """
    head, content = LENGTHS.unpack(receive(LENGTHS.size))
    if head + content > most_bytes:
        raise ValueError("the message is too long")
    return json.loads(receive(head)), receive(content)


def _read(count: int) -> bytes:
    received = sys.stdin.buffer.read(count)
    if len(received) < count:
        raise EOFError
    return received


def _write(output: RawIOBase, content: bytes) -> None:
    left = memoryview(content)
    while left:
        left = left[output.write(left) or 0 :]


if __name__ == "__main__":
    main()
