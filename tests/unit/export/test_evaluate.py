"""Evaluation of a model that can see one thing: how bright a clip is."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from export.evaluate import (
    EmbeddedPairs,
    calibrate,
    embed,
    evaluate,
    evaluate_paraphrases,
    list_thresholds,
    probes,
    record_evaluation,
    state_performance,
)
from export.pairs import Pairs, open_pairs, write_pairs
from export.predictive import CalibrationRules
from export.report import FIGURES, PAGE, REPORT, write_report
from triage.config import ModelSettings
from triage.domain.errors import ConfigurationError
from triage.domain.finding import FindingSet
from triage.findings.loader import parse_findings
from triage.model.bundle import Bundle, ClipForm, open_bundle
from triage.ports.encoder import Embedding, Embeddings, Frames

COUNT = 120
FINDINGS = parse_findings(
    """findings:
  - {id: bright, name: Bright, prompts: [The heart is bright, It shines], views: [cine_sa]}
  - {id: unlabelled, name: Unlabelled, prompts: [Something else], views: [cine_sa]}
""",
    "test",
)


class FakeEye:
    """An encoder that embeds brightness as an angle."""

    execution_provider = "CPUExecutionProvider"

    def encode_clip(self, frames: Frames) -> Embedding:
        return self._at(frames.mean() / 255)

    def encode_clips(self, clips: Sequence[Frames]) -> Embeddings:
        return np.stack([self.encode_clip(clip) for clip in clips])

    def encode_text(self, text: str) -> Embedding:
        return self._at(0.0 if "dark" in text else 1.0)

    def _at(self, share: float) -> Embedding:
        angle = share * np.pi / 2
        return np.array([np.cos(angle), np.sin(angle)], np.float32)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Pairs:
    folder = tmp_path_factory.mktemp("pairs")
    rng = np.random.default_rng(1)
    rows = []
    for number in range(COUNT):
        bright = bool(rng.integers(2))
        level = np.clip(rng.normal(150 if bright else 110, 30), 0, 255)
        columns = {
            "id": str(number),
            "impression": "bright" if bright else "dark",
            "bright": str(int(bright)),
            "vendor": "GE" if number % 3 else "Philips",
        }
        rows.append((np.full((2, 4, 4), level, np.uint8), columns))
    write_pairs(folder, rows, COUNT, ClipForm(frames=2, height=4, width=4))
    return open_pairs(folder)


@pytest.fixture(scope="module")
def embedded(pairs: Pairs) -> EmbeddedPairs:
    return embed(pairs, FakeEye(), FINDINGS)


def test_a_finding_is_measured_and_one_without_labels_is_not(
    pairs: Pairs, embedded: EmbeddedPairs
) -> None:
    found = evaluate(pairs, embedded, {})
    assert list(found.zero_shot) == ["bright"]
    assert found.zero_shot["bright"].auc == pytest.approx(0.83, abs=0.07)
    assert found.probes["logistic"]["bright"].auc == pytest.approx(
        found.zero_shot["bright"].auc, abs=0.05
    )
    assert found.retrieval["impression to study"]["R@10"] > 10 / COUNT


def test_groups_are_measured_apart(pairs: Pairs, embedded: EmbeddedPairs) -> None:
    groups = evaluate(pairs, embedded, {}, groups=("vendor",)).groups
    assert list(groups) == ["vendor=GE", "vendor=Philips"]
    assert sum(each["bright"].studies for each in groups.values()) == COUNT


def test_a_stated_threshold_is_used(pairs: Pairs, embedded: EmbeddedPairs) -> None:
    never = evaluate(pairs, embedded, {"bright": 1.0}).zero_shot["bright"]
    assert (never.threshold, never.f1) == (1.0, 0.0)


def test_the_same_pairs_give_the_same_figures(pairs: Pairs, embedded: EmbeddedPairs) -> None:
    assert evaluate(pairs, embedded, {}) == evaluate(pairs, embedded, {})


def test_a_calibration_holds_for_its_prompts_and_is_vouched_for(
    pairs: Pairs, embedded: EmbeddedPairs, tmp_path: Path
) -> None:
    shutil.copytree(ModelSettings().bundle, tmp_path / "bundle")
    before = open_bundle(tmp_path / "bundle")
    after = calibrate(before, FINDINGS, embedded, pairs)
    assert open_bundle(tmp_path / "bundle") == after
    assert after.digest != before.digest
    assert after.calibration is not None
    assert list(after.calibration.findings) == ["bright"]
    threshold = after.calibration.findings["bright"]
    assert threshold.prompts == FINDINGS.findings[0].prompts
    assert threshold.specific is not None
    assert threshold.specific > threshold.threshold
    assert threshold.spread == pytest.approx(embedded.scores["bright"].std())
    assert threshold.performance is None


@pytest.fixture
def calibrated(pairs: Pairs, embedded: EmbeddedPairs, tmp_path: Path) -> Bundle:
    shutil.copytree(ModelSettings().bundle, tmp_path / "bundle")
    return calibrate(open_bundle(tmp_path / "bundle"), FINDINGS, embedded, pairs)


def test_what_a_threshold_achieves_is_stated_with_the_studies_it_was_measured_on(
    pairs: Pairs, embedded: EmbeddedPairs, calibrated: Bundle
) -> None:
    found = evaluate(pairs, embedded, list_thresholds(calibrated))
    after = state_performance(calibrated, "120 grey squares", found)
    assert open_bundle(after.path) == after
    assert after.calibration is not None
    stated, metrics = after.calibration.findings["bright"].performance, found.zero_shot["bright"]
    assert stated is not None
    assert stated.measured_on == "120 grey squares"
    assert (stated.studies, stated.positives) == (metrics.studies, metrics.positives)
    assert stated.auc.value == pytest.approx(metrics.auc, abs=1e-4)
    assert stated.sensitivity.low == pytest.approx(metrics.sensitivity.low, abs=1e-4)
    assert stated.specificity.high == pytest.approx(metrics.specificity.high, abs=1e-4)


def test_a_calibration_of_an_earlier_release_gets_a_spread_and_a_new_one_keeps_its_own(
    pairs: Pairs, embedded: EmbeddedPairs, calibrated: Bundle
) -> None:
    assert calibrated.calibration is not None
    known = calibrated.calibration.findings["bright"]
    found = evaluate(pairs, embedded, list_thresholds(calibrated))
    for spread, expected in ((None, found.zero_shot["bright"].spread), (0.5, 0.5)):
        before = known.model_copy(update={"spread": spread})
        calibration = calibrated.calibration.model_copy(update={"findings": {"bright": before}})
        earlier = replace(calibrated, calibration=calibration)
        after = state_performance(earlier, "120 grey squares", found).calibration
        assert after is not None
        assert after.findings["bright"].spread == pytest.approx(expected)


def test_a_new_calibration_removes_what_the_old_threshold_achieved(
    pairs: Pairs, embedded: EmbeddedPairs, calibrated: Bundle
) -> None:
    found = evaluate(pairs, embedded, list_thresholds(calibrated))
    stated = state_performance(calibrated, "120 grey squares", found)
    again = calibrate(stated, FINDINGS, embedded, pairs)
    assert again.calibration == calibrated.calibration


def test_a_finding_that_was_not_measured_has_no_performance(
    pairs: Pairs, embedded: EmbeddedPairs, calibrated: Bundle
) -> None:
    found = replace(evaluate(pairs, embedded, {}), zero_shot={})
    after = state_performance(calibrated, "no study", found)
    assert after.calibration is not None
    assert after.calibration.findings["bright"].performance is None


def test_figures_of_another_threshold_are_refused(
    pairs: Pairs, embedded: EmbeddedPairs, calibrated: Bundle
) -> None:
    other = evaluate(pairs, embedded, {"bright": 0.9})
    with pytest.raises(ConfigurationError, match="bright was measured at another threshold"):
        state_performance(calibrated, "120 grey squares", other)


def test_without_a_calibration_no_performance_can_be_stated(
    pairs: Pairs, embedded: EmbeddedPairs
) -> None:
    bare = open_bundle(ModelSettings().bundle)
    with pytest.raises(ConfigurationError, match=r"has no calibration\.json"):
        state_performance(bare, "120 grey squares", evaluate(pairs, embedded, {}))


def test_the_report_can_be_read_by_people_and_programs(
    pairs: Pairs, embedded: EmbeddedPairs, tmp_path: Path
) -> None:
    found = evaluate(pairs, embedded, {}, groups=("vendor",))
    write_report(found, "A test", tmp_path)
    text = (tmp_path / REPORT).read_text()
    assert "| bright | 120 |" in text
    assert "### vendor=Philips" in text
    figures = json.loads((tmp_path / FIGURES).read_text())
    assert figures["zero_shot"]["bright"]["auc"] == found.zero_shot["bright"].auc


def test_a_finding_at_chance_gets_no_threshold(
    pairs: Pairs, embedded: EmbeddedPairs, tmp_path: Path
) -> None:
    shutil.copytree(ModelSettings().bundle, tmp_path / "bundle")
    after = calibrate(
        open_bundle(tmp_path / "bundle"), FINDINGS, embedded, pairs, CalibrationRules(0.9)
    )
    assert after.calibration is not None
    assert after.calibration.findings == {}
    assert "at least 0.9" in after.calibration.method


def test_both_kinds_of_heads_learn_what_the_embedding_holds(
    pairs: Pairs, embedded: EmbeddedPairs
) -> None:
    found = probes(pairs, embedded, ["bright", "unlabelled"])
    assert [*found] == ["logistic", "MLP"]
    assert all([*each] == ["bright"] for each in found.values())
    assert found["MLP"]["bright"].auc == pytest.approx(0.83, abs=0.1)


def test_retrieval_goes_both_ways(pairs: Pairs, embedded: EmbeddedPairs) -> None:
    found = evaluate(pairs, embedded, {}).retrieval
    assert [*found] == ["impression to study", "study to impression"]
    assert found["study to impression"]["median rank"] < COUNT / 2


def test_other_words_are_measured_with_the_same_labels(
    pairs: Pairs, embedded: EmbeddedPairs
) -> None:
    other = parse_findings(
        "findings: [{id: bright, name: B, prompts: [Much dark here], views: [cine_sa]}]", "test"
    )
    (found,) = evaluate_paraphrases(pairs, embedded, FakeEye(), other).values()
    assert found.auc == pytest.approx(1 - evaluate(pairs, embedded, {}).zero_shot["bright"].auc)


def test_a_bundle_states_what_it_was_measured_at(
    pairs: Pairs, embedded: EmbeddedPairs, tmp_path: Path
) -> None:
    shutil.copytree(ModelSettings().bundle, tmp_path / "bundle")
    found = evaluate(pairs, embedded, {})
    record_evaluation(open_bundle(tmp_path / "bundle"), "internal", found)
    record_evaluation(open_bundle(tmp_path / "bundle"), "external", found)
    stated = open_bundle(tmp_path / "bundle").manifest.evaluation
    assert stated["internal"] == stated["external"]
    assert stated["internal"]["bright"] == pytest.approx(found.zero_shot["bright"].auc, abs=1e-4)


def test_the_page_is_one_file_with_its_pictures_inside(
    pairs: Pairs, embedded: EmbeddedPairs, tmp_path: Path
) -> None:
    found = evaluate(pairs, embedded, {})
    beside = probes(pairs, embedded, ["bright"])
    whole = replace(found, paraphrased=found.zero_shot, beside=beside)
    write_report(whole, "Test & more", tmp_path)
    page = (tmp_path / PAGE).read_text()
    assert page.count('src="data:image/png;base64,') == 3
    assert "<td" in page
    assert '.png"' not in page
    text = (tmp_path / REPORT).read_text()
    assert "| bright |" in text.split("## With prompts that training never saw")[1]
    assert "AUC, other bundle" in text
    for picture in ("roc.png", "reliability.png", "few-shot.png"):
        assert (tmp_path / picture).read_bytes().startswith(b"\x89PNG")


def test_every_finding_of_a_set_is_scored(embedded: EmbeddedPairs) -> None:
    assert isinstance(FINDINGS, FindingSet)
    assert {*embedded.scores} == {"bright", "unlabelled"}
    assert all(len(scores) == COUNT for scores in embedded.scores.values())
