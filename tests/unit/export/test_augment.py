"""Clips as another scanner might have taken them."""

import numpy as np
import pytest

from export.augment import augment
from export.recipe import AugmentRecipe

NOTHING = AugmentRecipe(shift=0, contrast=0, noise=0)


def clips(grey: int = 100) -> np.ndarray:
    frames = np.full((6, 3, 20, 20), grey, np.uint8)
    frames[:, 1] = 0  # a missing view
    frames[:, :, 10, 10] *= 2
    return frames


def test_no_change_changes_nothing() -> None:
    assert np.array_equal(augment(clips(), NOTHING, np.random.default_rng(0)), clips())


def test_the_same_draw_gives_the_same_clips() -> None:
    one, other, third = (
        augment(clips(), AugmentRecipe(), np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    assert np.array_equal(one, other)
    assert not np.array_equal(one, third)


def test_black_frames_stay_black() -> None:
    changed = augment(clips(), AugmentRecipe(), np.random.default_rng(0))
    assert not changed[:, 1].any()
    assert changed[:, 0].any()


def test_all_frames_of_a_clip_move_together_and_no_further_than_asked() -> None:
    moved = augment(clips(), NOTHING.model_copy(update={"shift": 0.15}), np.random.default_rng(0))
    bright = [[np.unravel_index(frame.argmax(), frame.shape) for frame in clip] for clip in moved]
    assert all(clip[0] == clip[2] for clip in bright)
    places = {clip[0] for clip in bright}
    assert len(places) > 1
    assert all(abs(int(at) - 10) <= 3 for place in places for at in place)


@pytest.mark.parametrize("change", [{"noise": 0.1}, {"contrast": 0.3}])
def test_clips_differ_by_noise_or_contrast(change: dict[str, float]) -> None:
    changed = augment(clips(), NOTHING.model_copy(update=change), np.random.default_rng(0))
    assert len({clip[0].tobytes() for clip in changed}) == 6
