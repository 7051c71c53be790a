from dataclasses import replace

import numpy as np
import pytest

from export.ood_calibration import exceedances_allowed, fit_views
from triage.model.bundle import Bundle, ClipForm, Preprocessing, ViewSlot, open_bundle
from triage.model.out_of_distribution import (
    FEATURE_LENGTH,
    compute_distances,
    compute_features,
    has_fixed_frames,
    measure_familiarity,
)
from triage.ports.encoder import Frames
from triage.runtime.model import DEMO_BUNDLE

FORM = ClipForm(
    frames=3,
    height=20,
    width=24,  # cells of 2 or 3 pixels by 3
    layout=(ViewSlot(view="a", kind="cine", phases=2), ViewSlot(view="b", kind="single")),
    preprocessing=Preprocessing(missing="black"),
)


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return open_bundle(DEMO_BUNDLE)


def clip(seed: int) -> Frames:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (3, 20, 24), np.uint8)


def test_features_are_cell_means_their_spread_and_motion() -> None:
    frames = np.zeros((3, 20, 24), np.uint8)
    frames[0, :, :12], frames[1, :, :12] = 255, 51
    left, missing = compute_features(frames, FORM, ["a"])
    cells = left[:-2].reshape(8, 8)
    assert cells[:, :4] == pytest.approx(0.6)
    assert cells[:, 4:] == pytest.approx(0)
    assert left[-2:] == pytest.approx([0, 0.2])  # half of the cells change by 0.4 each way
    assert np.isnan(missing).all()
    assert compute_features(clip(1), FORM, "ab")[0, -2] == pytest.approx(
        0.29, abs=0.04
    )  # 1 / sqrt(12)


def test_a_filled_view_that_is_black_is_not_missing() -> None:
    assert not np.isnan(compute_features(np.zeros((3, 20, 24), np.uint8), FORM, "ab")).any()


def test_distances_are_about_one_for_known_hearts_and_grow_with_difference() -> None:
    rng = np.random.default_rng(0)
    seen = rng.normal(0.5, 0.1, (2000, 2, FEATURE_LENGTH))
    seen[:200, 1] = np.nan
    far = compute_distances(seen, fit_views(seen))
    assert np.nanmean(far, axis=0) == pytest.approx(1, abs=0.05)
    assert np.isnan(far[:200, 1]).all()
    assert not np.isnan(far[:, 0]).any()
    assert compute_distances(seen[500] + 1, fit_views(seen)) == pytest.approx(10, abs=1)


def test_statistics_from_before_motion_was_a_feature_compare_the_others() -> None:
    seen = np.random.default_rng(0).normal(0.5, 0.1, (2000, 2, FEATURE_LENGTH))
    older = fit_views(seen)[:, :FEATURE_LENGTH, : FEATURE_LENGTH - 1]
    moving = seen[0].copy()
    moving[:, -1] += 100
    assert np.array_equal(compute_distances(moving, older), compute_distances(seen[0], older))


def test_slices_without_motion_are_told_from_a_cine() -> None:
    beating = np.full((3, 20, 24), 100, np.uint8)
    beating[1] = 140
    still = np.full_like(beating, 120)
    one, other = (compute_features(clip, FORM, "a")[0] for clip in (still, beating))
    assert np.allclose(one[:-1], other[:-1])
    assert (one[-1], other[-1]) == pytest.approx((0, 20 / 255))


def test_a_rare_view_is_not_compared() -> None:
    seen = np.random.default_rng(0).normal(0.5, 0.1, (300, 2, FEATURE_LENGTH))
    seen[100:, 1] = np.nan
    assert np.isnan(compute_distances(seen[0], fit_views(seen))).tolist() == [False, True]


@pytest.mark.parametrize(("hearts", "beyond"), [(100, None), (229, None), (230, 0), (500, 1)])
def test_the_limit_allows_few_false_alarms_and_needs_enough_hearts(
    hearts: int, beyond: int | None
) -> None:
    assert exceedances_allowed(hearts) == beyond


def test_many_hearts_allow_nearly_the_stated_share_of_false_alarms() -> None:
    beyond = exceedances_allowed(100_000)
    assert beyond is not None
    assert 900 < beyond < 1000


@pytest.mark.parametrize(
    "form",
    [
        FORM.model_copy(update={"preprocessing": Preprocessing()}),  # missing views are left out
        FORM.model_copy(update={"frames": 2}),  # frames are sampled
        FORM.model_copy(update={"height": 7}),
        ClipForm(frames=60, height=224, width=224, preprocessing=Preprocessing(missing="left_out")),
    ],
)
def test_a_clip_without_fixed_frames_is_not_compared(form: ClipForm) -> None:
    assert has_fixed_frames(FORM)
    assert not has_fixed_frames(form)


def test_a_bundle_without_limit_or_statistics_gives_no_result(bundle: Bundle) -> None:
    form = bundle.manifest.clip
    noise = np.random.default_rng(0).integers(0, 256, (form.frames, 96, 96), np.uint8)
    result = measure_familiarity(noise, ["cine_sa"], bundle)
    assert result is not None
    assert not result.is_known
    assert result.strangest_view == "cine_sa"
    assert measure_familiarity(noise, [], bundle) is None
    assert measure_familiarity(noise, ["cine_sa"], replace(bundle, ood_reference=None)) is None
    assert bundle.calibration is not None
    older = bundle.calibration.model_copy(update={"familiarity": None})
    assert measure_familiarity(noise, ["cine_sa"], replace(bundle, calibration=older)) is None
