from pathlib import Path

import numpy as np
import pytest

from tests.fakes import FakeEncoder
from triage.config import Settings
from triage.domain.errors import ConfigurationError
from triage.findings.loader import load_findings
from triage.model.bundle import Bundle, open_bundle
from triage.model.encoder import OnnxEncoder
from triage.model.prompts import embed_prompts
from triage.ports.encoder import Encoder, Frames
from triage.runtime.model import open_model

SETTINGS = Settings()
RNG = np.random.default_rng(5)


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return open_bundle(SETTINGS.model.bundle)


@pytest.fixture(scope="module")
def encoder(bundle: Bundle) -> OnnxEncoder:
    return OnnxEncoder(bundle, "cpu")


def frames(count: int) -> Frames:
    return RNG.integers(0, 256, (count, 224, 224), np.uint8)


@pytest.mark.parametrize("count", [1, 60, 64])
def test_a_clip_of_any_length_has_a_unit_embedding(
    encoder: OnnxEncoder, bundle: Bundle, count: int
) -> None:
    embedding = encoder.encode_clip(frames(count))
    assert embedding.shape == (bundle.manifest.sizes.embedding,)
    assert np.linalg.norm(embedding) == pytest.approx(1, abs=1e-5)


def test_different_clips_and_texts_have_different_embeddings(encoder: OnnxEncoder) -> None:
    dark, bright = np.zeros((4, 224, 224), np.uint8), frames(4)
    assert not np.allclose(encoder.encode_clip(dark), encoder.encode_clip(bright), atol=1e-3)
    one, other = map(encoder.encode_text, ("LV is thickened", "Aortic root is ectatic"))
    assert not np.allclose(one, other, atol=1e-3)


@pytest.mark.parametrize("shape", [(0, 224, 224), (65, 224, 224), (4, 128, 128)])
def test_a_clip_of_another_shape_is_an_error(
    encoder: OnnxEncoder, shape: tuple[int, int, int]
) -> None:
    with pytest.raises(ValueError, match="the bundle takes"):
        encoder.encode_clip(np.zeros(shape, np.uint8))


def test_a_text_of_any_length_is_encoded(encoder: OnnxEncoder) -> None:
    long = encoder.encode_text("Left ventricle is dilated. " * 500)
    assert np.linalg.norm(long) == pytest.approx(1, abs=1e-5)


def test_a_missing_cuda_provider_is_an_error_instead_of_a_silent_cpu_run(bundle: Bundle) -> None:
    with pytest.raises(ConfigurationError, match="model.provider asks for CUDAExecutionProvider"):
        OnnxEncoder(bundle, "cuda")


def test_prompts_are_encoded_once_per_findings_file_and_bundle(
    bundle: Bundle, tmp_path: Path
) -> None:
    findings = load_findings(SETTINGS.findings)
    asked: list[str] = []

    class CountingSession(FakeEncoder):
        def encode_text(self, text: str) -> np.ndarray:
            asked.append(text)
            return super().encode_text(text)

    counting: Encoder = CountingSession()
    first = embed_prompts(findings, bundle, counting, tmp_path)
    assert len(asked) == sum(len(finding.prompts) for finding in findings.findings)
    again = embed_prompts(findings, bundle, counting, tmp_path)
    assert len(asked) == 15
    assert all(np.array_equal(first[key], again[key]) for key in first)


def test_a_damaged_cache_is_computed_again(bundle: Bundle, tmp_path: Path) -> None:
    findings = load_findings(SETTINGS.findings)
    first = embed_prompts(findings, bundle, FakeEncoder(), tmp_path)
    (cached,) = tmp_path.iterdir()
    for damage in (b"", b"nonsense", cached.read_bytes()[:100]):
        cached.write_bytes(damage)
        again = embed_prompts(findings, bundle, FakeEncoder(), tmp_path)
        assert all(np.array_equal(first[key], again[key]) for key in first)


def test_a_finding_that_needs_a_view_unknown_to_the_bundle_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "findings.yaml"
    path.write_text(
        "findings:\n  - {id: x, name: X, prompts: [some words], views: [perfusion_sa]}\n"
    )
    settings = Settings(state_dir=tmp_path, findings=path)
    with pytest.raises(
        ConfigurationError,
        match="`perfusion_sa` is no view of the bundle; expected one of cine_lax",
    ):
        open_model(settings, cache=None)
