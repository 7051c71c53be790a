from dataclasses import asdict

import numpy as np
import pytest
from pydantic import ValidationError

from tests.unit.model.scored_bundles import (
    BY_EXAMPLES,
    CLIP,
    FINDING,
    NO_CALIBRATION,
    PERFORMANCE,
    bundle,
    calibrated,
    decisive,
)
from triage.domain.assessment import Answer, Flag, Presence, ScoreKind
from triage.domain.finding import FindingSet
from triage.domain.performance import Performance
from triage.domain.reasons import ReasonCode
from triage.model.bundle import Bundle, Calibration, Threshold
from triage.model.fitted import (
    FewShot,
    FittedFinding,
    FittedThreshold,
    digest_fit,
    digest_question,
)
from triage.model.prompts import mean_cosines
from triage.model.questions import build_questions
from triage.model.scoring import answer_finding


def answered(cosine: float, model: Bundle, views: tuple[str, ...] = ("cine_sa",)) -> Answer:
    prompts = np.array([[cosine, np.sqrt(1 - cosine**2)]], np.float32)
    (question,) = build_questions(FindingSet((FINDING,), ""), model, {"lv": prompts}, {}).values()
    return answer_finding(FINDING, question, model, views, CLIP)


def test_the_score_is_the_mean_cosine_over_the_prompts() -> None:
    prompts = np.array([[1, 0], [0, 1]], np.float32)
    assert mean_cosines(prompts, CLIP[None]) == pytest.approx([0.5])


def test_above_the_threshold_is_flagged() -> None:
    flagged = answered(0.6, calibrated())
    assert (flagged.flag, flagged.presence) == (Flag.YES, Presence.UNDETERMINED)
    assert flagged.reason == "above the threshold (score 0.600, threshold 0.500)"


def test_not_flagged_is_not_absent() -> None:
    answer = answered(0.1, calibrated())
    assert (answer.flag, answer.presence) == (Flag.NO, Presence.UNDETERMINED)


def test_a_score_just_below_its_threshold_is_a_near_miss_and_says_so() -> None:
    near = answered(0.49, calibrated(spread=0.1))
    assert near.is_near_miss
    assert near.reason == "not above the threshold (score 0.490, threshold 0.500), but near it"


@pytest.mark.parametrize(
    ("score", "model"),
    [
        (0.46, calibrated(spread=0.1)),
        (0.51, calibrated(spread=0.1)),
        (0.49, calibrated(spread=None)),
        (0.49, calibrated(spread=0.1, rule_out=decisive(0.495))),
    ],
)
def test_a_far_a_flagged_a_ruled_out_or_an_unmeasured_score_is_no_near_miss(
    score: float, model: Bundle
) -> None:
    answer = answered(score, model)
    assert not answer.is_near_miss
    assert "near it" not in answer.reason


def test_an_answer_has_what_its_threshold_achieves() -> None:
    assert answered(0.6, calibrated()).performance == PERFORMANCE


def test_a_specific_threshold_below_the_threshold_is_no_calibration() -> None:
    with pytest.raises(ValidationError, match="specific is below the threshold"):
        Threshold(threshold=0.5, specific=0.49, prompts=())
    assert Threshold(threshold=0.5, specific=0.5, prompts=()).specific == 0.5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"positives": 0}, "0 of 500 studies"),
        ({"positives": 500}, "500 of 500 studies"),
        ({"measured_on": " "}, "names no studies"),
        ({"auc": {"value": 0.9, "low": 0.91, "high": 0.95}}, "is no rate"),
        ({"sensitivity": {"value": 0.9, "low": 0.8, "high": 1.01}}, "is no rate"),
        ({"specificity": {"value": 0.9, "low": 0.8}}, "high"),
    ],
)
def test_a_performance_that_cannot_be_is_no_calibration(
    change: dict[str, object], message: str
) -> None:
    stated = asdict(PERFORMANCE) | change
    with pytest.raises(ValidationError, match=message):
        Threshold.model_validate({"threshold": 0.5, "prompts": [], "performance": stated})


def by_views(prompts: tuple[str, ...] = FINDING.prompts) -> Bundle:
    whole = Threshold(threshold=0.5, spread=0.1, performance=PERFORMANCE, prompts=prompts)
    alone = Threshold(threshold=0.7, prompts=prompts)
    table = {"cine_lax+cine_sa": {"lv": whole}, "cine_sa": {"lv": alone}, "cine_lax": {}}
    calibration = Calibration(method="test", findings={"lv": whole}, by_views=table)
    return bundle(calibration=calibration)


@pytest.mark.parametrize(
    ("views", "threshold", "performance"),
    [(("cine_sa", "cine_lax"), 0.5, PERFORMANCE), (("cine_sa",), 0.7, None)],
)
def test_a_study_is_compared_with_the_threshold_of_its_views(
    views: tuple[str, ...], threshold: float, performance: Performance | None
) -> None:
    answer = answered(0.6, by_views(), views)
    assert (answer.threshold, answer.performance) == (threshold, performance)
    assert answer.flag is (Flag.YES if threshold < 0.6 else Flag.NO)


@pytest.mark.parametrize("views", [("cine_sa", "lge_sa"), ("cine_sa", "lge_sa", "lge_2ch")])
def test_a_finding_that_is_not_told_from_the_views_is_not_evaluated_and_keeps_its_score(
    views: tuple[str, ...],
) -> None:
    answer = answered(0.6, by_views(), views)
    assert (answer.flag, answer.presence) == (Flag.NOT_EVALUATED, Presence.NOT_EVALUATED)
    assert answer.why_not is ReasonCode.VIEWS_NOT_CALIBRATED
    assert answer.reason == (
        f"no threshold is calibrated for this finding from {', '.join(views)} alone"
    )
    assert answer.score == pytest.approx(0.6)
    assert answer.threshold is None


def test_other_prompts_than_the_calibrated_have_no_threshold_for_any_views() -> None:
    answer = answered(0.6, by_views(("Another prompt",)))
    assert answer.why_not is ReasonCode.NOT_CALIBRATED


def test_absent_needs_a_rule_out_score_with_its_figures() -> None:
    model = calibrated(rule_out=decisive(0.2))
    absent = answered(0.1, model)
    assert absent.presence is Presence.ABSENT
    assert absent.reason.endswith(
        ", below the rule-out score 0.200 (negative predictive value 0.93 on 412 studies of 2025)"
    )
    assert answered(0.3, model).presence is Presence.UNDETERMINED


def test_present_needs_a_rule_in_score_with_its_figures() -> None:
    model = calibrated(rule_in=decisive(0.7))
    present = answered(0.8, model)
    assert (present.flag, present.presence) == (Flag.YES, Presence.PRESENT)
    assert present.reason.endswith(
        ", above the rule-in score 0.700 (positive predictive value 0.93 on 412 studies of 2025)"
    )
    assert answered(0.6, model).presence is Presence.UNDETERMINED


def test_a_decision_that_contradicts_the_flag_is_no_calibration() -> None:
    with pytest.raises(ValidationError, match="would be present, unflagged"):
        calibrated(rule_in=decisive(0.4))
    with pytest.raises(ValidationError, match="would be absent, flagged"):
        calibrated(rule_out=decisive(0.6))


def test_a_rule_in_without_its_figures_is_no_calibration() -> None:
    with pytest.raises(ValidationError, match="measured_on"):
        Threshold.model_validate(
            {"threshold": 0.5, "prompts": [], "rule_in": {"score": 0.7, "predictive_value": 0.9}}
        )


def fitted(**by_views: float) -> FittedFinding:
    """Return a fit with a threshold for each of some views."""
    return FittedFinding(
        finding="lv",
        asked=digest_question(BY_EXAMPLES),
        examples={str(number): "0" * 64 for number in range(20)},
        fit=FewShot(centre=(0.0, 0.0), present=(1.0, 0.0), absent=(0.0, 1.0)),
        by_views={
            views: FittedThreshold(threshold=threshold, spread=0.1)
            for views, threshold in by_views.items()
        },
    )


def answered_by_examples(fit: FittedFinding, *views: str) -> Answer:
    fits = {"lv": fit}
    (question,) = build_questions(FindingSet((BY_EXAMPLES,), ""), bundle(), {}, fits).values()
    return answer_finding(BY_EXAMPLES, question, bundle(), views, CLIP)


OF_AN_EARLIER_RELEASE = FittedFinding.model_validate(
    fitted().model_dump() | {"threshold": 0.0, "patients_with": 20, "patients_without": 20}
)


@pytest.mark.parametrize("fit", [fitted(), OF_AN_EARLIER_RELEASE])
def test_a_fit_without_a_threshold_is_computed_and_silent(fit: FittedFinding) -> None:
    answer = answered_by_examples(fit, "cine_sa")
    assert (answer.flag, answer.presence) == (Flag.NOT_EVALUATED, Presence.NOT_EVALUATED)
    assert answer.why_not is ReasonCode.FEW_EXAMPLES
    assert answer.score == pytest.approx(np.sqrt(2))
    assert answer.threshold is None
    assert answer.reason == (
        "fitted from 20 examples, but at least 10 patients of each side are needed whose studies "
        "show the same views"
    )


@pytest.mark.parametrize(("threshold", "flag"), [(1.0, Flag.YES), (1.5, Flag.NO)])
def test_a_fit_flags_by_the_threshold_of_the_views_and_states_its_examples(
    threshold: float, flag: Flag
) -> None:
    fit = fitted(**{"cine_lax+cine_sa": 1.43, "cine_sa": threshold})
    answer = answered_by_examples(fit, "cine_sa")
    assert (answer.flag, answer.presence) == (flag, Presence.UNDETERMINED)
    assert (answer.threshold, answer.spread) == (threshold, 0.1)
    assert (answer.kind, answer.fitted) == (ScoreKind.DISTANCES, digest_fit(fit))
    assert "fitted from 20 examples" in answer.reason
    assert not answer.is_near_miss
    assert answered_by_examples(fit, "cine_sa", "cine_lax").is_near_miss


def test_a_fit_without_examples_with_these_views_keeps_its_score_and_its_scale() -> None:
    fit = fitted(cine_sa=1.0)
    answer = answered_by_examples(fit, "cine_sa", "lge_sa")
    assert (answer.flag, answer.presence) == (Flag.NOT_EVALUATED, Presence.NOT_EVALUATED)
    assert answer.why_not is ReasonCode.VIEWS_NOT_CALIBRATED
    assert answer.reason == "no threshold is calibrated for this finding from cine_sa, lge_sa alone"
    assert answer.score == pytest.approx(np.sqrt(2))
    assert answer.threshold is None
    assert (answer.kind, answer.fitted) == (ScoreKind.DISTANCES, digest_fit(fit))
    assert answer.examples == 20


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
