"""Decode compressed frames in another process, so that no frame can harm this one.

Decoders are C libraries that read bytes of any sender. `DecoderProcess` gives each frame to a child
process (`decoder_child`) with a limit of memory and of time. If the child ends, or does not answer
in time, it is killed, the frame is lost with a DecoderFailed, and the next frame gets a new child.
One child serves all frames of a process, because its start takes as long as some hundred frames.
"""

import atexit
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import structlog
from numpy.typing import NDArray

import triage
from triage.domain.errors import DamagedInstance
from triage.imaging.decoder_child import receive_message, send_message

log = structlog.get_logger(__name__)

FRAME_S = 10.0  #: for a frame; a decoder takes two for the largest that is allowed
START_S = 60.0  #: for the start of the child, on a machine that has other things to do
MOST_HEAD_BYTES = 4096  #: of the JSON of an answer
TYPES = {"|u1", "|i1", "<u2", "<i2", "<u4", "<i4"}  #: of decoded values
CHUNK_BYTES = 1 << 20


class DecoderFailed(DamagedInstance):
    """A frame ended its decoder process, or exceeded a limit of it."""


class DecoderProcess:
    """A child process that decodes; started when it is needed, and again when it ended."""

    def __init__(self, frame_s: float = FRAME_S) -> None:
        self._frame_s = frame_s
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()  #: one frame at a time
        self.starts = 0  #: how often a child was started

    @property
    def pid(self) -> int | None:
        """The process ID of the child; None if none runs."""
        return None if self._process is None else self._process.pid

    def decode(
        self, frame: bytes, syntax: str, elements: Mapping[str, object], shape: tuple[int, int]
    ) -> NDArray[Any]:
        """Return the stored values of a frame, (rows, columns).

        `elements` are those of the Image Pixel Module, by keyword; `shape` is what must come out.

        Raises:
            DecoderFailed: The frame ended the child, or exceeded its time or memory.
            DamagedInstance: The frame does not decode.
        """
        with self._lock:
            try:
                process = self._process or self._start()
                deadline = time.monotonic() + self._frame_s
                send_message(
                    lambda content: _send(process, content, deadline),
                    {"syntax": syntax, "elements": dict(elements)},
                    frame,
                )
                answer, content = receive_message(
                    lambda count: _receive(process, count, deadline),
                    MOST_HEAD_BYTES + 4 * shape[0] * shape[1],
                )
            except (OSError, EOFError, ValueError) as error:
                raise DecoderFailed(self._end(error)) from None
            except BaseException:  # e.g. an interrupt: the answer would be taken for the next one's
                self._end(None)
                raise
            if answer.get("is_last"):
                self._end(None)
        return _read_answer(answer, content, shape)

    def close(self) -> None:
        """End the child."""
        with self._lock:
            self._end(None)

    def _start(self) -> subprocess.Popen[bytes]:
        """Start the child and wait until it is ready."""
        process = self._process = subprocess.Popen(
            [sys.executable, "-m", "triage.imaging.decoder_child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            env=_child_environment(),
        )
        self.starts += 1
        os.set_blocking(_input_of(process), False)
        deadline = time.monotonic() + START_S
        receive_message(lambda count: _receive(process, count, deadline), MOST_HEAD_BYTES)
        return process

    def _end(self, error: Exception | None) -> str:
        """Kill the child and return why its frame is lost."""
        process, self._process = self._process, None
        if process is None:
            return "the decoder cannot be started"
        if error is not None:
            with suppress(subprocess.TimeoutExpired):  # its exit status says why it ended
                process.wait(0.0 if isinstance(error, TimeoutError) else 1.0)
        status = process.poll()
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
        if isinstance(error, TimeoutError):
            why = f"its decoder did not end within {self._frame_s:g} s"
        elif status is None:
            why = "its decoder gave no valid answer"
        else:
            why = f"its decoder ended with status {status}"
        if error is not None:
            log.warning("a decoder process was ended by a frame", why=why)
        return why


@cache
def shared_decoder() -> DecoderProcess:
    """Return the decoder of this process; its child ends with this process."""
    decoder = DecoderProcess()
    atexit.register(decoder.close)
    return decoder


def _child_environment() -> dict[str, str]:
    """Return the environment of the child: the modules of this program, one thread a library."""
    root = str(Path(triage.__file__).parents[1])
    return {
        "PATH": os.defpath,
        "PYTHONPATH": os.pathsep.join([root, *filter(None, sys.path)]),
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def _input_of(process: subprocess.Popen[bytes]) -> int:
    """Return the descriptor of the pipe to a child; ValueError if it is closed."""
    if process.stdin is None:
        raise ValueError
    return process.stdin.fileno()


def _output_of(process: subprocess.Popen[bytes]) -> int:
    """Return the descriptor of the pipe from a child; ValueError if it is closed."""
    if process.stdout is None:
        raise ValueError
    return process.stdout.fileno()


def _wait_for(descriptor: int, event: int, deadline: float) -> None:
    """Wait until a pipe can be read or written; raise TimeoutError after the deadline."""
    left_s = deadline - time.monotonic()
    poll = select.poll()
    poll.register(descriptor, event)
    if left_s <= 0 or not poll.poll(left_s * 1000):
        raise TimeoutError


def _send(process: subprocess.Popen[bytes], content: bytes, deadline: float) -> None:
    left, descriptor = memoryview(content), _input_of(process)
    while left:
        _wait_for(descriptor, select.POLLOUT, deadline)
        with suppress(BlockingIOError):
            left = left[os.write(descriptor, left) :]


def _receive(process: subprocess.Popen[bytes], count: int, deadline: float) -> bytes:
    received, descriptor = bytearray(), _output_of(process)
    while len(received) < count:
        _wait_for(descriptor, select.POLLIN, deadline)
        part = os.read(descriptor, min(count - len(received), CHUNK_BYTES))
        if not part:
            raise EOFError
        received += part
    return bytes(received)


def _read_answer(answer: Mapping[str, Any], content: bytes, shape: tuple[int, int]) -> NDArray[Any]:
    """Return the values of an answer; raise DamagedInstance if it is an error."""
    error = str(answer.get("error", ""))
    if error == "MemoryError":
        raise DecoderFailed("its decoder needs too much memory")
    if error:
        raise DamagedInstance(f"pixel data does not decode ({error[:40]})")
    kind = answer.get("dtype")
    if tuple(answer.get("shape", ())) != shape or kind not in TYPES:
        raise DamagedInstance("not a single greyscale image")
    values: NDArray[Any] = np.frombuffer(content, np.dtype(kind))
    if values.size != shape[0] * shape[1]:
        raise DecoderFailed("its decoder gave no valid answer")
    return values.reshape(shape)
