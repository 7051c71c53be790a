"""The two towers of a bundle in ONNX Runtime.

Rule: the execution provider is the one that was asked for, or the program does not start; a silent
fall-back to the CPU would be found out by a hospital's waiting list.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import onnxruntime as ort
from tokenizers import Tokenizer

from triage.domain.errors import ConfigurationError
from triage.model.bundle import TEXT, TOKENIZER, VIDEO, Bundle
from triage.ports import Embedding, Frames

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
#: TF32 would round the inputs of every matrix product to 10 bits.
OPTIONS: Mapping[str, Mapping[str, str]] = {
    PROVIDERS["cpu"]: {},
    PROVIDERS["cuda"]: {"use_tf32": "0"},
}
ERRORS_ONLY = 3


class OnnxEncoder:
    """See `ports.Encoder`."""

    def __init__(self, bundle: Bundle, provider: Literal["cpu", "cuda"], threads: int = 0) -> None:
        self.execution_provider = PROVIDERS[provider]
        self._sizes = bundle.manifest.sizes
        self._video = _session(bundle.path / VIDEO, self.execution_provider, threads)
        self._text = _session(bundle.path / TEXT, self.execution_provider, threads)
        self._tokenizer = Tokenizer.from_file(str(bundle.path / TOKENIZER))
        self._tokenizer.enable_truncation(self._sizes.text_tokens)

    def encode_clip(self, frames: Frames) -> Embedding:
        """Return the embedding of a clip's frames, (frames, H, W)."""
        expected = (self._sizes.height, self._sizes.width)
        if frames.shape[1:] != expected or not 1 <= len(frames) <= self._sizes.frames:
            raise ValueError(
                f"frames are {frames.shape}, the bundle takes (1..{self._sizes.frames}, "
                f"{expected[0]}, {expected[1]})"
            )
        inputs = {
            "frames": frames[None],  # (1, frames, H, W); the graph pads to F itself
            "frame_count": np.array([len(frames)], np.int64),
        }
        return _embedding(self._video, inputs)

    def encode_text(self, text: str) -> Embedding:
        """Return the embedding of a text; more tokens than the tower takes are cut."""
        tokens = self._tokenizer.encode(text)
        inputs = {
            "input_ids": np.array([tokens.ids], np.int64),  # (1, T)
            "attention_mask": np.array([tokens.attention_mask], np.int64),
        }
        return _embedding(self._text, inputs)


def _session(path: Path, provider: str, threads: int) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = ERRORS_ONLY
    session = ort.InferenceSession(str(path), options, providers=[(provider, OPTIONS[provider])])
    if session.get_providers()[0] != provider:
        raise ConfigurationError(
            f"model.provider asks for {provider}, which ONNX Runtime cannot use on this machine "
            f"(it offers {', '.join(session.get_providers())}): install the GPU driver and CUDA "
            "libraries, or set model.provider: cpu"
        )
    return session


def _embedding(session: ort.InferenceSession, inputs: Mapping[str, object]) -> Embedding:
    (embedding,) = session.run(["embedding"], inputs)
    return np.asarray(embedding[0], np.float32)  # (D,)
