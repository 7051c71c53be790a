"""Contract of the encoder: the fake, and the real one with the shipped bundle."""

import numpy as np
import pytest

from tests.fakes import FakeEncoder
from triage.model.bundle import open_bundle
from triage.model.encoder import OnnxEncoder
from triage.ports.encoder import Encoder, Frames
from triage.runtime.model import DEMO_BUNDLE

RNG = np.random.default_rng(3)


@pytest.fixture(scope="module", params=["fake", "onnx"])
def encoder(request: pytest.FixtureRequest) -> Encoder:
    if request.param == "fake":
        return FakeEncoder()
    return OnnxEncoder(open_bundle(DEMO_BUNDLE), "cpu", threads=1)


def clip(count: int) -> Frames:
    return RNG.integers(0, 256, (count, 96, 96), np.uint8)


def test_clips_and_texts_have_unit_embeddings_of_one_length(encoder: Encoder) -> None:
    seen, read = encoder.encode_clip(clip(3)), encoder.encode_text("Left ventricle is dilated")
    assert seen.shape == read.shape
    assert seen.dtype == read.dtype == np.float32
    assert [np.linalg.norm(seen), np.linalg.norm(read)] == pytest.approx([1, 1], abs=1e-5)


def test_a_batch_of_clips_is_encoded_as_one_by_one(encoder: Encoder) -> None:
    """More clips than fit into one run of the graph; no clip influences another."""
    clips = [clip(count % 14 + 1) for count in range(35)]
    together = encoder.encode_clips(clips)
    assert together.shape == (35, *encoder.encode_clip(clips[0]).shape)
    for one, embedding in zip(clips[::5], together[::5], strict=True):
        assert encoder.encode_clip(one) == pytest.approx(embedding, abs=1e-5)
