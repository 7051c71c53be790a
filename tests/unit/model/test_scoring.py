from pathlib import Path

import numpy as np
import pytest

from triage.domain.assessment import Answer, Flag, Presence
from triage.domain.finding import Finding, FindingSet
from triage.model.bundle import Bundle, Calibration, Manifest, Sizes, Threshold
from triage.model.prompts import mean_cosines
from triage.model.questions import build_questions
from triage.model.scoring import answer_finding

FINDING = Finding("lv", "LV", ("Left ventricle is dilated",), ("cine_sa",), None, "", None)
CLIP = np.array([1, 0], np.float32)
NO_CALIBRATION = Calibration(method="none", findings={})


def bundle(*, trained: bool = True, calibration: Calibration | None = None) -> Bundle:
    manifest = Manifest(
        name="test",
        version="1",
        trained=trained,
        intended_use="tests",
        provenance={},
        sizes=Sizes(frames=8, height=8, width=8, embedding=2, text_tokens=8),
        files=dict.fromkeys(("video.onnx", "text.onnx", "tokenizer.json"), "0" * 64),
    )
    return Bundle(Path(), manifest, "0" * 64, calibration)


def calibrated(rule_out: float | None = None, prompts: tuple[str, ...] = FINDING.prompts) -> Bundle:
    threshold = Threshold(threshold=0.5, rule_out=rule_out, prompts=prompts)
    return bundle(calibration=Calibration(method="test", findings={"lv": threshold}))


def answered(cosine: float, model: Bundle, views: tuple[str, ...] = ("cine_sa",)) -> Answer:
    prompts = np.array([[cosine, np.sqrt(1 - cosine**2)]], np.float32)
    (question,) = build_questions(FindingSet((FINDING,), ""), model, {"lv": prompts}, {}).values()
    return answer_finding(FINDING, question, model, views, CLIP)


def test_the_score_is_the_mean_cosine_over_the_prompts() -> None:
    prompts = np.array([[1, 0], [0, 1]], np.float32)
    assert mean_cosines(prompts, CLIP[None]) == pytest.approx([0.5])


def test_above_the_threshold_is_flagged() -> None:
    flagged = answered(0.6, calibrated())
    assert (flagged.flag, flagged.presence) == (Flag.YES, Presence.PRESENT)
    assert flagged.reason == "above the threshold (score 0.600, threshold 0.500)"


def test_not_flagged_is_not_absent() -> None:
    answer = answered(0.1, calibrated())
    assert (answer.flag, answer.presence) == (Flag.NO, Presence.UNDETERMINED)


def test_absent_needs_a_rule_out_threshold() -> None:
    assert answered(0.1, calibrated(rule_out=0.2)).presence is Presence.ABSENT
    assert answered(0.3, calibrated(rule_out=0.2)).presence is Presence.UNDETERMINED


def test_exactly_at_the_threshold_is_not_flagged() -> None:
    assert answered(0.5, calibrated()).flag is Flag.NO


@pytest.mark.parametrize(
    ("model", "views", "reason"),
    [
        (bundle(trained=False), ("cine_sa",), "model is untrained"),
        (calibrated(), (), "the study shows none of the views cine_sa"),
        (bundle(), ("cine_sa",), "no threshold is calibrated for this model and these prompts"),
        (bundle(calibration=NO_CALIBRATION), ("cine_sa",), "no threshold is calibrated"),
        (calibrated(prompts=("Other words",)), ("cine_sa",), "no threshold is calibrated"),
    ],
)
def test_a_finding_that_cannot_be_evaluated_has_a_reason(
    model: Bundle, views: tuple[str, ...], reason: str
) -> None:
    answer = answered(0.9, model, views)
    assert (answer.flag, answer.presence) == (Flag.NOT_EVALUATED, Presence.NOT_EVALUATED)
    assert answer.reason.startswith(reason)


def test_a_finding_whose_views_are_missing_has_no_score() -> None:
    assert answered(0.9, calibrated(), ()).score is None


def test_an_untrained_model_still_computes_a_score() -> None:
    assert answered(0.9, bundle(trained=False)).score == pytest.approx(0.9)
