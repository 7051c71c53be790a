"""A real arena of ONNX Runtime that is too small: halves, fallback, or an error.

A limit on an arena applies to the whole process, so each case runs in its own process.
"""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from triage.domain.errors import OutOfMemory
from triage.model.bundle import open_bundle
from triage.model.encoder import OnnxEncoder
from triage.runtime.model import DEMO_BUNDLE

ENOUGH_FOR_SOME, ENOUGH_FOR_NONE = 25_000_000, 3_500_000  #: bytes
CLIPS = 32

PROGRAM = """
import sys
import numpy as np, onnxruntime as ort
from pathlib import Path
from triage.model import encoder
from triage.model.bundle import open_bundle

limit, fallback, bundle, out, count = sys.argv[1:]
memory = ort.OrtMemoryInfo(
    "Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT
)
arena = ort.OrtArenaCfg({"max_mem": int(limit), "arena_extend_strategy": 1})
ort.create_and_register_allocator(memory, arena)

def small(path, provider, threads):
    options = ort.SessionOptions()
    options.add_session_config_entry("session.use_env_allocators", "1")
    options.log_severity_level = 4
    return ort.InferenceSession(str(path), options, providers=[provider])

large, encoder._open_session = encoder._open_session, small
one = encoder.OnnxEncoder(open_bundle(Path(bundle)), "cpu")
encoder._open_session = large
if fallback == "fallback":  # as if the small arena were a GPU's
    one._provider, one._fallback_provider = "SmallProvider", "CPUExecutionProvider"
clips = np.random.default_rng(7).integers(0, 256, (int(count), 20, 96, 96), np.uint8)
np.save(out, one.encode_clips(list(clips)))
print(one.execution_provider)
"""


def encoded(folder: Path, limit: int, clips: int, fallback: str = "none") -> tuple[str, np.ndarray]:
    """Return the output, which ends with the provider of the last clip, and the embeddings."""
    out = folder / "out.npy"
    command = [sys.executable, "-c", PROGRAM, str(limit), fallback, str(DEMO_BUNDLE), str(out)]
    ran = subprocess.run([*command, str(clips)], capture_output=True, text=True, check=False)
    if ran.returncode:
        raise OutOfMemory(ran.stderr)
    return ran.stdout, np.load(out)


def expected(clips: int) -> np.ndarray:
    frames = np.random.default_rng(7).integers(0, 256, (clips, 20, 96, 96), np.uint8)
    return OnnxEncoder(open_bundle(DEMO_BUNDLE), "cpu").encode_clips(list(frames))


def test_a_batch_that_does_not_fit_runs_in_halves(tmp_path: Path) -> None:
    said, found = encoded(tmp_path, ENOUGH_FOR_SOME, CLIPS)
    np.testing.assert_allclose(found, expected(CLIPS), atol=1e-5)
    assert "running in halves" in said
    assert said.split()[-1] == "CPUExecutionProvider"


def test_a_single_clip_that_does_not_fit_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OutOfMemory, match="OutOfMemory: the model does not fit into memory"):
        encoded(tmp_path, ENOUGH_FOR_NONE, 1)


def test_a_single_clip_that_does_not_fit_runs_on_the_fallback(tmp_path: Path) -> None:
    said, found = encoded(tmp_path, ENOUGH_FOR_NONE, 2, "fallback")
    np.testing.assert_allclose(found, expected(2), atol=1e-5)
    assert said.split()[-1] == "CPUExecutionProvider"
