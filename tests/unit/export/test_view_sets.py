"""Thresholds for each set of views, of a model that can see one thing: the brightness of a view."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from export.evaluate import calibrate, embed, list_thresholds
from export.pairs import Pairs, open_pairs, write_pairs
from export.predictive import CalibrationRules
from export.view_sets import (
    FEWEST,
    ViewSetStudies,
    calibrate_view_sets,
    show_views,
    state_view_sets,
    view_sets,
)
from triage.config import ModelSettings
from triage.domain.errors import ConfigurationError
from triage.findings.loader import parse_findings
from triage.model.bundle import Bundle, ClipForm, Preprocessing, ViewSlot, open_bundle
from triage.ports.encoder import Embedding, Embeddings, Frames

COUNT = 160
FORM = ClipForm(
    frames=3,
    height=4,
    width=4,
    layout=(
        ViewSlot(view="cine_lax", kind="cine", phases=2),
        ViewSlot(view="cine_sa", kind="cine", phases=1),
    ),
    preprocessing=Preprocessing(
        version=2, crop="heart_square", field_mm=200, missing="black", resize="none"
    ),
)
FINDINGS = parse_findings(
    """findings:
  - {id: bright, name: Bright, prompts: [The heart is bright], views: [cine_lax, cine_sa]}
  - {id: aorta, name: Aorta, prompts: [The aorta is bright], views: [cine_lax]}
""",
    "test",
)


class MeanBrightness:
    """An encoder that embeds the mean of all frames as an angle: black views make it darker."""

    execution_provider = "CPUExecutionProvider"

    def encode_clip(self, frames: Frames) -> Embedding:
        return self._at(frames.mean() / 255)

    def encode_clips(self, clips: Sequence[Frames]) -> Embeddings:
        return np.stack([self.encode_clip(clip) for clip in clips])

    def encode_text(self, _text: str) -> Embedding:
        return self._at(1.0)

    def _at(self, share: float) -> Embedding:
        return np.array([np.cos(share * np.pi / 2), np.sin(share * np.pi / 2)], np.float32)


def draw_pair(number: int, rng: np.random.Generator) -> tuple[Frames, dict[str, str]]:
    """Return a study whose long axis tells the finding and whose short axis tells nothing."""
    bright = bool(rng.integers(2))
    clip = np.zeros((3, 4, 4), np.uint8)
    clip[:2] = 190 if bright else 120
    clip[2] = rng.integers(100, 200)
    if number % 4 == 0:
        clip[:2] = 0  # has no long axis
    label = str(int(bright))
    return clip, {"id": str(number), "impression": "", "bright": label, "aorta": label}


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Pairs:
    folder = tmp_path_factory.mktemp("pairs")
    rng = np.random.default_rng(1)
    write_pairs(folder, (draw_pair(number, rng) for number in range(COUNT)), COUNT, FORM)
    return open_pairs(folder)


@pytest.fixture
def calibrated(pairs: Pairs, tmp_path: Path) -> Bundle:
    shutil.copytree(ModelSettings().bundle, tmp_path / "bundle")
    bundle = open_bundle(tmp_path / "bundle")
    bundle = calibrate(bundle, FINDINGS, embed(pairs, MeanBrightness(), FINDINGS), pairs)
    studies = ViewSetStudies(pairs, FINDINGS, MeanBrightness())
    return calibrate_view_sets(bundle, studies, CalibrationRules())


def test_only_the_named_views_are_shown_of_the_studies_that_have_them(pairs: Pairs) -> None:
    both = show_views(pairs, ("cine_lax", "cine_sa"))
    assert len(both) == COUNT * 3 // 4
    long_axis = show_views(pairs, ("cine_lax",))
    assert np.array_equal(long_axis.frames[:, :2], both.frames[:, :2])
    assert not long_axis.frames[:, 2].any()
    assert [row["id"] for row in long_axis.rows] == [row["id"] for row in both.rows]
    assert len(show_views(pairs, ("cine_sa",))) == COUNT


def test_the_pairs_of_a_subset_are_shown(pairs: Pairs) -> None:
    later = np.arange(100, COUNT)
    assert np.array_equal(
        show_views(pairs.subset(later), ("cine_sa",)).frames,
        show_views(pairs, ("cine_sa",)).frames[later],
    )


@pytest.mark.parametrize("views", [("cine_2ch",), ("cine_sa", "")])
def test_a_view_that_is_not_in_the_clip_is_refused(pairs: Pairs, views: tuple[str, ...]) -> None:
    with pytest.raises(ConfigurationError, match="name views of cine_lax, cine_sa"):
        show_views(pairs, views)


def test_each_set_of_views_has_its_own_thresholds(calibrated: Bundle) -> None:
    assert calibrated == open_bundle(calibrated.path)
    assert calibrated.calibration is not None
    by_views = calibrated.calibration.by_views
    assert {*by_views} == {"cine_lax", "cine_sa", "cine_lax+cine_sa"}
    one, both = by_views["cine_lax"]["bright"], by_views["cine_lax+cine_sa"]["bright"]
    assert one.threshold < both.threshold - 0.1  # a black view makes the mean darker
    assert list_thresholds(calibrated, "cine_lax")["bright"] == one.threshold


def test_a_finding_has_no_threshold_for_views_that_do_not_tell_it(calibrated: Bundle) -> None:
    assert calibrated.calibration is not None
    assert calibrated.calibration.by_views["cine_sa"] == {}  # it separates no finding
    assert list_thresholds(calibrated, "cine_sa") == {}


def test_what_a_threshold_achieves_is_stated_for_its_views(
    calibrated: Bundle, pairs: Pairs
) -> None:
    studies = ViewSetStudies(pairs, FINDINGS, MeanBrightness())
    stated = state_view_sets(calibrated, "160 drawn studies", studies).calibration
    assert stated is not None
    performance = stated.by_views["cine_lax"]["bright"].performance
    assert performance is not None
    assert (performance.studies, performance.sensitivity.value) == (COUNT * 3 // 4, 1.0)
    assert performance.measured_on == "160 drawn studies, from cine long axis alone"


def test_few_studies_calibrate_no_set_of_views(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    few = (draw_pair(number, rng) for number in range(FEWEST))
    write_pairs(tmp_path / "few", few, FEWEST, FORM)
    shutil.copytree(ModelSettings().bundle, tmp_path / "bundle")
    found = open_pairs(tmp_path / "few")
    embedded = embed(found, MeanBrightness(), FINDINGS)
    bundle = calibrate(open_bundle(tmp_path / "bundle"), FINDINGS, embedded, found)
    studies = ViewSetStudies(found, FINDINGS, MeanBrightness())
    after = calibrate_view_sets(bundle, studies, CalibrationRules()).calibration
    assert after is not None
    assert {*after.by_views} == {"cine_sa"}  # the other sets lack a quarter of the studies


def test_clips_without_places_for_views_have_no_sets() -> None:
    assert view_sets(ClipForm(frames=4, height=4, width=4)) == []
