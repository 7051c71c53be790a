from pathlib import Path

import numpy as np
import pytest

import triage.model
from export.bundle import AGREEMENT, agreement
from export.untrained import NAME, report_vocabulary, seeded_network, untrained_model
from triage.model.bundle import Bundle, open_bundle
from triage.model.encoder import OnnxEncoder

SHIPPED = Path(triage.model.__file__).parent / "bundles" / "untrained"
PROMPTS = [
    "Left ventricle with systolic dysfunction",
    "Left ventricle is dilated",
    "Right ventricle is dilated",
    "There is a large area of LAD scar",
    "Aortic root is ectatic",
]


@pytest.fixture(scope="module")
def shipped() -> Bundle:
    return open_bundle(SHIPPED)


@pytest.fixture(scope="module")
def encoder(shipped: Bundle) -> OnnxEncoder:
    return OnnxEncoder(shipped, "cpu")


def beating_heart(radius: float, column: int = 112) -> np.ndarray:
    """A bright disc whose radius changes over 30 frames, (30, 224, 224)."""
    rows, columns = np.mgrid[:224, :224]
    distance = np.hypot(rows - 112, columns - column)
    phases = radius * (1 + 0.15 * np.sin(np.linspace(0, 2 * np.pi, 30)))
    return np.where(distance < phases[:, None, None], 180, 40).astype(np.uint8)


def test_the_shipped_bundle_says_that_it_knows_nothing(shipped: Bundle) -> None:
    assert shipped.manifest.name == NAME
    assert shipped.manifest.trained is False
    assert "Research use only" in shipped.manifest.intended_use
    assert "scores mean nothing" in shipped.manifest.intended_use
    assert shipped.calibration is None


def test_the_shipped_bundle_takes_frames_as_the_published_model_does(shipped: Bundle) -> None:
    sizes = shipped.manifest.sizes
    assert (sizes.frames, sizes.height, sizes.width) == (64, 224, 224)
    assert shipped.manifest.preprocessing.resize == "published"


def test_the_shipped_bundle_is_small() -> None:
    assert sum(path.stat().st_size for path in SHIPPED.iterdir()) < 1_500_000


def test_the_shipped_bundle_is_the_one_that_the_command_makes(shipped: Bundle) -> None:
    model = untrained_model(seed=0)
    assert min(agreement(model, SHIPPED)) >= AGREEMENT
    written = (SHIPPED / "tokenizer.json").read_text(encoding="utf-8")
    assert written == model.tokenizer.to_str(pretty=True)
    assert shipped.manifest.version == model.label.version


def test_embeddings_of_different_hearts_differ(encoder: OnnxEncoder) -> None:
    hearts = [beating_heart(40), beating_heart(60), beating_heart(40, column=90)]
    assert_apart([encoder.encode_clip(heart) for heart in hearts], cosine=0.99)


def test_embeddings_of_different_prompts_differ(encoder: OnnxEncoder) -> None:
    assert_apart([encoder.encode_text(prompt) for prompt in PROMPTS], cosine=0.99)


def assert_apart(embeddings: list[np.ndarray], cosine: float) -> None:
    cosines = np.stack(embeddings) @ np.stack(embeddings).T
    assert np.allclose(cosines.diagonal(), 1, atol=1e-5)
    assert cosines[~np.eye(len(cosines), dtype=bool)].max() < cosine


@pytest.mark.parametrize(
    "sentence",
    [
        *PROMPTS,
        "Quixotic JAZZ: fluffy kiwis (n=42) vex 3 dwarves; 99% - really?",
        "Delayed-enhancement imaging reveals transmural enhancement",
    ],
)
def test_no_english_word_is_unknown(sentence: str) -> None:
    assert "[UNK]" not in untrained_model(seed=0).tokenizer.encode(sentence).tokens


def test_report_words_are_single_pieces() -> None:
    vocabulary = report_vocabulary()
    assert {"ventricle", "Ventricle", "hypertrophy", "LGE"} <= vocabulary.keys()
    assert sorted(vocabulary.values()) == list(range(len(vocabulary)))


def test_a_seed_gives_its_own_weights_and_always_the_same() -> None:
    sizes = untrained_model(seed=0).network.sizes
    first, again, other = (
        seeded_network(sizes, seed).state_dict()["video_model.pos_embed"] for seed in (0, 0, 1)
    )
    assert first.equal(again)
    assert not first.allclose(other)
