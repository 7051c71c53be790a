"""The two towers of a bundle in ONNX Runtime.

The configured execution provider is used, or the program does not start: a silent fallback to the
CPU would become apparent only as a growing waiting list. A batch that does not fit into memory is
run in halves. A single clip that does not fit runs on the fallback provider if the settings name
one; that is logged, and the report names the provider that ran the clip.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import onnxruntime as ort
import structlog
from onnxruntime.capi.onnxruntime_pybind11_state import EPFail, Fail, RuntimeException
from tokenizers import Tokenizer

from triage.domain.errors import ConfigurationError, OutOfMemory
from triage.model.bundle import TEXT, TOKENIZER, VIDEO, Bundle
from triage.ports.encoder import Embedding, Embeddings, Frames
from triage.telemetry.progress import note_progress

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
#: TF32 would round the inputs of every matrix product to 10 bits.
OPTIONS: Mapping[str, Mapping[str, str]] = {
    PROVIDERS["cpu"]: {},
    PROVIDERS["cuda"]: {"use_tf32": "0"},
}
#: Pixels of a run's clips: about one clip of the published model (3 GB), or 32 of the demo's.
PIXELS_AT_ONCE = 1 << 22
ERRORS_ONLY = 3  #: log severity level of ONNX Runtime
#: Messages of the arena, CUDA and its libraries; ONNX Runtime has no error type for them.
OUT_OF_MEMORY = ("BFCArena::AllocateRaw", "out of memory", "ALLOC_FAILED", "bad allocation")

log = structlog.get_logger(__name__)


class OnnxEncoder:
    """Encode clips and texts with the ONNX graphs of a bundle; implements `Encoder`.

    Raises:
        ConfigurationError: The execution provider is not available on this machine.
    """

    def __init__(
        self,
        bundle: Bundle,
        provider: Literal["cpu", "cuda"],
        threads: int = 0,
        fallback: Literal["cpu"] | None = None,
    ) -> None:
        self.execution_provider = PROVIDERS[provider]  #: provider that ran the last clip
        self._provider = PROVIDERS[provider]
        self._fallback_provider = None if fallback in {None, provider} else PROVIDERS["cpu"]
        self._path, self._threads = bundle.path, threads
        self._sizes = bundle.manifest.sizes
        self._video = _open_session(bundle.path / VIDEO, self.execution_provider, threads)
        self._text = _open_session(bundle.path / TEXT, self.execution_provider, threads)
        self._tokenizer = Tokenizer.from_file(str(bundle.path / TOKENIZER))
        self._tokenizer.enable_truncation(self._sizes.text_tokens)

    def encode_clip(self, frames: Frames) -> Embedding:
        """Return the embedding of a clip's frames, (frames, H, W)."""
        embedding: Embedding = self.encode_clips([frames])[0]
        return embedding

    def encode_clips(self, clips: Sequence[Frames]) -> Embeddings:
        """Return the embeddings of one or more clips, in as few runs as fit into memory.

        Raises:
            OutOfMemory: A single clip fits neither into memory nor on the fallback.
        """
        for clip in clips:
            self._check_shape(clip)
        return np.concatenate([self._run(batch) for batch in self._batches(clips)])

    def _check_shape(self, frames: Frames) -> None:
        expected = (self._sizes.height, self._sizes.width)
        if frames.shape[1:] != expected or not 1 <= len(frames) <= self._sizes.frames:
            raise ValueError(
                f"frames are {frames.shape}, the bundle takes (1..{self._sizes.frames}, "
                f"{expected[0]}, {expected[1]})"
            )

    def _batches(self, clips: Sequence[Frames]) -> Iterator[Sequence[Frames]]:
        pixels = self._sizes.frames * self._sizes.height * self._sizes.width  # the graph pads to F
        at_once = max(1, PIXELS_AT_ONCE // pixels)
        for first in range(0, len(clips), at_once):
            yield clips[first : first + at_once]

    def _run(self, clips: Sequence[Frames]) -> Embeddings:
        note_progress()
        counts = np.array([len(clip) for clip in clips], np.int64)
        frames = np.zeros((len(clips), counts.max(), *clips[0].shape[1:]), np.uint8)
        for index, clip in enumerate(clips):
            frames[index, : len(clip)] = clip
        inputs = {"frames": frames, "frame_count": counts}
        try:
            embeddings = _run_graph(self._video, inputs)
        except OutOfMemory as error:
            return self._run_smaller(clips, inputs, error)
        self.execution_provider = self._provider
        return embeddings

    def _run_smaller(
        self, clips: Sequence[Frames], inputs: Mapping[str, object], error: OutOfMemory
    ) -> Embeddings:
        """Run a batch that does not fit into memory in halves, a single clip on the fallback."""
        if len(clips) > 1:
            log.warning(
                "out of memory, running in halves", provider=self._provider, clips=len(clips)
            )
            half = len(clips) // 2
            return np.concatenate([self._run(clips[:half]), self._run(clips[half:])])
        if self._fallback_provider is None:
            raise error
        log.warning("out of memory, running on the fallback", provider=self._fallback_provider)
        embeddings = _run_graph(self._fallback, inputs)
        self.execution_provider = self._fallback_provider
        return embeddings

    @cached_property
    def _fallback(self) -> ort.InferenceSession:
        assert self._fallback_provider is not None  # noqa: S101 - used only with a fallback
        return _open_session(self._path / VIDEO, self._fallback_provider, self._threads)

    def encode_text(self, text: str) -> Embedding:
        """Return the embedding of a text, truncated to the tokens that the tower takes."""
        tokens = self._tokenizer.encode(text)
        inputs = {
            "input_ids": np.array([tokens.ids], np.int64),  # (1, T)
            "attention_mask": np.array([tokens.attention_mask], np.int64),
        }
        embedding: Embedding = _run_graph(self._text, inputs)[0]
        return embedding


def _open_session(path: Path, provider: str, threads: int) -> ort.InferenceSession:
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


def _run_graph(session: ort.InferenceSession, inputs: Mapping[str, object]) -> Embeddings:
    try:
        (embeddings,) = session.run(["embedding"], inputs)
    except (Fail, RuntimeException, EPFail) as error:
        if any(message in str(error) for message in OUT_OF_MEMORY):
            raise OutOfMemory("the model does not fit into memory") from error
        raise
    return np.asarray(embeddings, np.float32)  # (n, D)
