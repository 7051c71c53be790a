"""Clips as another scanner might have taken them."""

import numpy as np
import pytest

from export.augment import augment
from export.recipe import AugmentRecipe
from triage.model.bundle import ViewSlot

TWO_PHASES = ViewSlot(view="cine_sa", kind="cine", phases=2)
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


def draw_disc(down: float, right: float) -> np.ndarray:
    """Draw a bright disc, (20, 20), whose centre is off the middle by `down` and `right` pixels."""
    rows, columns = np.mgrid[:20, :20] - 9.5
    return np.where(np.hypot(rows - down, columns - right) < 4, 200, 50).astype(np.uint8)


@pytest.mark.parametrize(
    "change", [{"turn": 90}, {"stretch": 0.3}, {"texture": 0.3}, {"shift": 0.2}, {"warp": 0.09}]
)
def test_views_change_each_for_itself_and_their_frames_together(change: dict[str, float]) -> None:
    clip = np.stack([draw_disc(3, 0)] * 4)[None]
    how = NOTHING.model_copy(update=change)
    (changed,) = augment(clip, how, np.random.default_rng(0), [TWO_PHASES, TWO_PHASES])
    assert np.array_equal(changed[0], changed[1])
    assert np.array_equal(changed[2], changed[3])
    assert not np.array_equal(changed[0], changed[2])
    assert not np.array_equal(changed[0], clip[0, 0])


def test_turned_views_keep_their_shapes() -> None:
    clip = np.stack([draw_disc(0, 0)])[None]
    (turned,) = augment(clip, NOTHING.model_copy(update={"turn": 180}), np.random.default_rng(0))
    assert np.abs(turned[0].astype(int) - clip[0, 0]).mean() < 5


def test_phases_come_later_or_earlier_except_the_first() -> None:
    levels = [200, 140, 80, 50, 80, 140]
    clip = np.stack([np.full((4, 4), level, np.uint8) for level in levels])[None]
    how = NOTHING.model_copy(update={"pace": 0.15})
    moved = [augment(clip, how, np.random.default_rng(seed))[0, :, 0, 0] for seed in range(20)]
    assert all(phases[0] == 200 for phases in moved)
    assert len({int(phases[2]) for phases in moved}) > 5
    assert all(phases[2] < phases[1] for phases in moved)


def test_changes_grow_from_nothing_to_what_the_recipe_states() -> None:
    how = AugmentRecipe(shift=0.1, noise=0.2, drop_views=0.4, growth=0.5)
    assert how.grown(0) == AugmentRecipe(shift=0, contrast=0, noise=0, growth=0.5)
    assert how.grown(0.25).drop_views == pytest.approx(0.1)
    assert how.grown(0.5) is how
    assert NOTHING.grown(0) is NOTHING


def test_phases_can_be_mixed_of_end_diastole_and_end_systole_but_slices_never() -> None:
    clip = np.full((1, 8, 12, 12), 100, np.uint8)
    clip[0, 2, :, :6], clip[0, 6, :, 6:] = 200, 200  # the third of four frames of each view
    how = NOTHING.model_copy(update={"two_phases": 1.0})
    layout = [
        ViewSlot(view="cine_sa", kind="cine", phases=4),
        ViewSlot(view="lge_sa", kind="stack", slices=4),
    ]
    (mixed,) = augment(clip, how, np.random.default_rng(0), layout)
    assert np.array_equal(mixed[4:], clip[0, 4:])
    assert np.array_equal(mixed[[0, 2]], clip[0, [0, 2]])
    assert all(100 < mixed[phase, 0, 0] < 200 for phase in (1, 3))
    assert np.all(mixed[:4, :, 6:] == 100)
