"""Run a bundle once in a process of its own, with limits of time and memory.

A graph can loop or allocate without end, already while ONNX Runtime optimises it. Tried in a child,
it costs that child alone. The child encodes one clip of all frames and one text on the CPU.

`python -m triage.model.first_run FOLDER BYTES SECONDS THREADS` is the child.
"""

import math
import os
import resource
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from triage.domain.errors import ConfigurationError
from triage.model.bundle import Bundle, open_bundle
from triage.model.encoder import OnnxEncoder

REPORT_BYTES_MAX = 1 << 20  #: of what the child writes to stderr
SHOWN = 300  #: characters of it that an error repeats
TEXT = "Normal cardiac MRI."


@dataclass(frozen=True)
class FirstRunLimits:
    """The time and memory that the child may use."""

    seconds: float  #: of time, and of processor time of each core
    memory_bytes: int  #: of private memory (setrlimit(2), RLIMIT_DATA)
    threads: int  #: of ONNX Runtime; 0: one for each core


def try_bundle(bundle: Bundle, limits: FirstRunLimits) -> None:
    """Run a bundle once in a child; raise ConfigurationError if it fails or exceeds a limit."""
    arguments = [limits.memory_bytes, limits.seconds, limits.threads]
    command = [sys.executable, "-m", __name__, str(bundle.path), *map(str, arguments)]
    with tempfile.TemporaryFile() as report:
        try:
            done = subprocess.run(  # noqa: S603 - our own program
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=report,
                timeout=limits.seconds,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise ConfigurationError(
                f"bundle {bundle.path}: its first run took more than {limits.seconds:g} s "
                "(model.first_run_s)"
            ) from None
        if done.returncode:
            report.seek(0)
            lines = report.read(REPORT_BYTES_MAX).decode(errors="replace").splitlines()
            last = "".join(lines[-1:])[:SHOWN]  # the exception, without its traceback
            raise ConfigurationError(
                f"bundle {bundle.path}: its first run failed with {limits.memory_bytes} bytes of "
                f"memory (model.first_run_bytes): {last or f'exit status {done.returncode}'}"
            )


def _run(folder: str, memory_bytes: str, seconds: str, threads: str) -> None:
    """Set the limits of this process, and run the bundle in a folder."""
    most = int(memory_bytes)
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    if (cores := os.cpu_count()) is not None:  # for a child whose parent has ended
        resource.setrlimit(resource.RLIMIT_CPU, (cores * math.ceil(float(seconds)),) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (REPORT_BYTES_MAX, REPORT_BYTES_MAX))
    bundle = open_bundle(Path(folder))
    sizes = bundle.manifest.sizes
    encoder = OnnxEncoder(bundle, "cpu", int(threads))
    encoder.encode_text(TEXT)
    shape = (sizes.frames, sizes.height, sizes.width)
    encoder.encode_clip(np.random.default_rng(0).integers(0, 256, shape, np.uint8))


if __name__ == "__main__":
    _run(*sys.argv[1:])
