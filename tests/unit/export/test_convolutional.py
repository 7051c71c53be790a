"""The convolutional video tower: missing views, sizes, training, and the graph of a bundle."""

from pathlib import Path

import numpy as np
import pytest
import torch

from export.augment import augment
from export.bundle import BundleModel, Label, agreement, write_bundle
from export.checkpoint import load_checkpoint
from export.cmrclip import CmrClip, NetworkSizes, TextSizes
from export.contrast import Clips
from export.convolutional import ConvolutionalSizes, ConvolutionalTower
from export.embed import embed_frames, embed_views
from export.frames import Resize, normalised
from export.pairs import Pairs, open_pairs, write_pairs
from export.pretrain import LAST, MODEL, TrainingProgress, fresh_network, pretrain
from export.recipe import AugmentRecipe, ConvolutionalRecipe, Recipe, TowerRecipe
from export.tokenizer import load_tokenizer
from triage.domain.errors import ConfigurationError
from triage.model.bundle import ClipForm, Preprocessing, ViewSlot

SLOTS = (3, 2, 1)
SIDE, COUNT = 32, 24
FORM = ClipForm(
    frames=sum(SLOTS),
    height=SIDE,
    width=SIDE,
    layout=(
        ViewSlot(view="cine_sa", kind="cine", phases=3),
        ViewSlot(view="lge_sa", kind="stack", slices=2),
        ViewSlot(view="lge_lax", kind="single"),
    ),
    preprocessing=Preprocessing(resize="none", missing="black"),
)
SIZES = ConvolutionalSizes(SIDE, SLOTS, (8, 16), 16)
SMALL = Recipe(
    network="convolutional",
    convolutional=ConvolutionalRecipe(channels=(8, 16), width=16),
    text=TowerRecipe(width=16, depth=1, heads=2),
    tokens=16,
    embedding=8,
    epochs=5,
    batch=8,
    rate=5e-3,
    augment=AugmentRecipe(drop_views=0.3, curve=0.3, shading=0.3),
    views_alone=0.5,
)
WORDS = ("small", "large")


def draw_clip(rng: np.random.Generator, radius: int) -> np.ndarray:
    """Return a clip (F, H, W) of a bright disc on a dark ground."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    down, right = rng.integers(13, 19, 2)
    disc = (rows - down) ** 2 + (columns - right) ** 2 < radius**2
    noisy = rng.normal(40, 5, (sum(SLOTS), SIDE, SIDE)) + 150 * disc
    drawn: np.ndarray = np.clip(noisy, 0, 255).astype(np.uint8)
    return drawn


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Pairs:
    folder, rng = tmp_path_factory.mktemp("pairs"), np.random.default_rng(0)
    made = [
        (
            draw_clip(rng, 4 + 6 * (n % 2)),
            {"id": str(n), "impression": f"A {WORDS[n % 2]} heart", "large": str(n % 2)},
        )
        for n in range(COUNT)
    ]
    write_pairs(folder, made, COUNT, FORM)
    return open_pairs(folder)


@pytest.fixture(scope="module")
def network() -> CmrClip:
    text = TextSizes(vocabulary=30, width=16, depth=1, heads=2, hidden=32, positions=16)
    return fresh_network(NetworkSizes(SIZES, text, 8), 0).eval()


def grey(clips: np.ndarray) -> torch.Tensor:
    counts = torch.full((len(clips),), clips.shape[1])
    return normalised(torch.from_numpy(clips), counts, clips.shape[1], "none")[:, :, 0]


def test_a_missing_view_has_no_influence(network: CmrClip) -> None:
    tower = network.video_model
    assert isinstance(tower, ConvolutionalTower)
    clips = np.stack([draw_clip(np.random.default_rng(seed), 8) for seed in range(2)])
    clips[0, :3] = 0
    with torch.inference_mode():
        before = tower.encode(grey(clips))
        bias = tower.get_parameter("views.0.head.bias")
        bias[0] += 1
        after = tower.encode(grey(clips))
        bias[0] -= 1
    assert torch.equal(before[0], after[0])
    assert not torch.allclose(before[1], after[1])


def test_each_view_alone_has_an_embedding_and_no_view_has_one(network: CmrClip) -> None:
    whole = draw_clip(np.random.default_rng(0), 8)
    alone = np.zeros((4, *whole.shape), np.uint8)
    alone[0, :3], alone[1, 3:5], alone[2, 5:] = whole[:3], whole[3:5], whole[5:]
    with torch.inference_mode():
        embedded = embed_frames(network, alone, np.full(4, len(whole)), "none")
    assert torch.isfinite(embedded).all()
    assert len({tuple(row.tolist()) for row in embedded}) == len(embedded)


def test_each_view_is_embedded_as_a_study_that_has_no_other(network: CmrClip) -> None:
    clips = np.stack([draw_clip(np.random.default_rng(seed), 8) for seed in range(3)])
    clips[1, 3:5] = 0
    counts = np.full(3, len(clips[0]))
    with torch.inference_mode():
        whole, alone = embed_views(network, clips, counts, "none")
        assert torch.allclose(whole, embed_frames(network, clips, counts, "none"))
        parts = np.split(np.arange(sum(SLOTS)), np.cumsum(SLOTS)[:-1])
        for part, (places, embedded) in zip(parts, alone, strict=True):
            others = np.setdiff1d(np.arange(sum(SLOTS)), part)
            expected = [row for row in range(3) if clips[row, part].any()]
            assert places.tolist() == expected
            lone = clips[expected]
            lone[:, others] = 0
            plain = embed_frames(network, lone, counts[expected], "none")
            assert torch.allclose(embedded, plain, atol=1e-6)


def test_views_alone_add_the_mean_of_their_losses() -> None:
    whole, first, lone = torch.ones(4, 2), torch.full((3, 2), 2.0), torch.ones(1, 2)
    places = torch.tensor([0, 1, 3])
    clips = Clips(whole, [(places, first), (places, 2 * first), (torch.tensor([2]), lone)])

    def contrast(at: torch.Tensor, video: torch.Tensor) -> torch.Tensor:
        assert len(at) == len(video)
        return video.mean()

    assert clips.loss(contrast, 0.5) == 1 + 0.5 * (2 + 4) / 2
    assert Clips(whole).loss(contrast, 0.5) == 1


def test_views_alone_of_a_network_without_views_are_refused(pairs: Pairs, tmp_path: Path) -> None:
    recipe = SMALL.model_copy(update={"network": "published", "patch": 16})
    with pytest.raises(ConfigurationError, match="views_alone"):
        pretrain(pairs, recipe, tmp_path)


@pytest.mark.parametrize("resize", ["none", "published"])
def test_frames_are_embedded_as_the_plain_form_is(network: CmrClip, resize: Resize) -> None:
    clips = np.stack([draw_clip(np.random.default_rng(seed), 8) for seed in range(3)])
    counts = np.array([6, 4, 3])
    clips[1, 4:], clips[2, 3:] = 0, 0
    with torch.inference_mode():
        plain = network.embed_video(
            normalised(torch.from_numpy(clips), torch.from_numpy(counts), 6, resize)
        )
        assert torch.allclose(plain, embed_frames(network, clips, counts, resize), atol=1e-5)


def test_a_network_learns_resumes_to_equal_weights_and_becomes_a_bundle(
    pairs: Pairs, tmp_path: Path
) -> None:
    whole = pretrain(pairs, SMALL, tmp_path / "whole")

    def stop(progress: TrainingProgress) -> None:
        if progress.step == 10:  # in the middle of an epoch
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pretrain(pairs, SMALL, tmp_path / "cut", stop)
    assert (tmp_path / "cut" / LAST).is_file()
    again = pretrain(pairs, SMALL, tmp_path / "cut")
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name

    loaded = load_checkpoint(tmp_path / "whole")
    assert loaded.network.sizes == whole.sizes
    text = whole.sizes.text
    model = BundleModel(
        network=loaded.network,
        tokenizer=load_tokenizer(tmp_path / "whole", text.vocabulary, text.positions),
        form=FORM,
        label=Label("small", "1", trained=True, intended_use="tests", provenance={}),
    )
    write_bundle(model, tmp_path / "bundle", force=False, say=lambda _: None)
    assert min(agreement(model, tmp_path / "bundle")) > 0.99999
    assert (tmp_path / "whole" / MODEL).is_file()


def test_the_default_sizes_fit_eight_megabytes_with_the_text_tower_of_the_demo_bundle() -> None:
    made = Recipe().convolutional
    tower = ConvolutionalTower(
        ConvolutionalSizes(96, (3, 3, 5, 1, 1, 1), made.channels, made.width)
    )
    bytes_ = 4 * sum(each.numel() for each in tower.parameters())
    print(f"{bytes_ / 1e6:.1f} MB")
    assert bytes_ < 5.9e6


def test_frames_of_a_clip_without_stated_lengths_are_refused(pairs: Pairs, tmp_path: Path) -> None:
    usual = ClipForm(frames=6, height=SIDE, width=SIDE)
    shifting = FORM.model_copy(update={"preprocessing": Preprocessing(resize="none")})
    assert shifting.preprocessing.missing == "left_out"  # so that a frame's place names no view
    for form in (usual, shifting):
        other = Pairs(pairs.frames, pairs.counts, pairs.impressions, pairs.rows, form)
        with pytest.raises(ConfigurationError, match="stated length"):
            pretrain(other, SMALL, tmp_path)


def test_a_checkpoint_without_its_frame_size_says_where_to_state_it(
    pairs: Pairs, tmp_path: Path
) -> None:
    pretrain(pairs, SMALL.model_copy(update={"epochs": 1}), tmp_path)
    (tmp_path / "sizes.json").unlink()
    with pytest.raises(ConfigurationError, match="video.image"):
        load_checkpoint(tmp_path)


def test_dropped_views_are_whole_and_one_always_remains() -> None:
    clips = np.stack([draw_clip(np.random.default_rng(seed), 8) for seed in range(40)])
    how = AugmentRecipe(shift=0, contrast=0, noise=0, drop_views=0.9)
    changed = augment(clips, how, np.random.default_rng(0), FORM.layout)
    shown = np.stack(
        [part.any((1, 2, 3)) for part in np.split(changed, np.cumsum(SLOTS)[:-1], axis=1)], axis=1
    )
    assert shown.any(1).all()
    assert 1 <= shown.sum(1).mean() < 2
    for clip, before, views in zip(changed, clips, shown, strict=True):
        frames = np.repeat(views, SLOTS)
        assert np.array_equal(clip[frames], before[frames])
        assert not clip[~frames].any()
    whole = augment(clips, how, np.random.default_rng(0))
    assert np.array_equal(whole, clips)


def test_curves_and_shading_change_brightness_and_keep_black_views_black() -> None:
    clips = np.stack([draw_clip(np.random.default_rng(seed), 8) for seed in range(4)])
    clips[:, 5] = 0
    how = AugmentRecipe(shift=0, contrast=0, noise=0, curve=0.5, shading=0.4)
    changed = augment(clips, how, np.random.default_rng(0), FORM.layout)
    assert not changed[:, 5].any()
    assert (np.abs(changed[:, :5].astype(int) - clips[:, :5]).mean((1, 2, 3)) > 1).all()
    assert np.array_equal(changed, augment(clips, how, np.random.default_rng(0), FORM.layout))


def test_surroundings_become_clutter_and_the_middle_stays() -> None:
    clips = np.full((3, 4, 40, 40), 100, np.uint8)
    how = AugmentRecipe(shift=0, contrast=0, noise=0, surroundings=1)
    two = ViewSlot(view="cine_sa", kind="cine", phases=2)
    changed = augment(clips, how, np.random.default_rng(0), [two, two]).astype(int)
    assert (changed[..., 15:25, 15:25] == 100).all()
    assert (np.abs(changed - 100).mean((2, 3)) > 5).mean() > 0.5
    assert np.array_equal(changed[:, 0], changed[:, 1])
    assert not np.array_equal(changed[:, 0], changed[:, 2])
