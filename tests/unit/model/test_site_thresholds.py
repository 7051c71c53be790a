"""Thresholds that a site has set, beside those of the bundle: one place decides which apply."""

from dataclasses import replace

import numpy as np

from tests.builders.calibrations import SENSITIVE, WEEKLY, budget_threshold, site_threshold
from tests.unit.model.scored_bundles import BY_EXAMPLES, CLIP, FINDING, bundle, calibrated
from triage.domain.assessment import Answer, Flag
from triage.domain.calibration import CalibrationTarget, SiteCalibration, SiteThreshold
from triage.domain.finding import Finding, FindingSet
from triage.domain.reasons import Reason, ReasonCode, because
from triage.model.bundle import Bundle
from triage.model.questions import build_questions
from triage.model.scoring import answer_finding

VIEWS = "cine_sa"


def of_site(
    *thresholds: SiteThreshold, target: CalibrationTarget = SENSITIVE, made_for: str = "0" * 64
) -> SiteCalibration:
    return SiteCalibration("content", made_for, target, thresholds, version=4)


def answered(
    cosine: float,
    site: SiteCalibration | Reason,
    model: Bundle | None = None,
    finding: Finding = FINDING,
    views: tuple[str, ...] = (VIEWS,),
) -> Answer:
    model = model or calibrated()
    prompts = np.array([[cosine, np.sqrt(1 - cosine**2)]], np.float32)
    findings = FindingSet((finding,), "", {"lv": site})
    (question,) = build_questions(findings, model, {"lv": prompts}, {}).values()
    return answer_finding(finding, question, model, views, CLIP)


def test_the_sites_threshold_takes_precedence_over_the_bundles() -> None:
    site = of_site(site_threshold(VIEWS, at=0.2))
    answer = answered(0.3, site)
    assert (answer.flag, answer.threshold) == (Flag.YES, 0.2)
    assert answer.performance == site.thresholds[0].performance
    assert answered(0.3, replace(site, thresholds=(site_threshold(VIEWS),))).flag is Flag.NO


def test_a_site_calibrates_a_finding_that_the_bundle_does_not_know() -> None:
    assert answered(0.3, of_site(site_threshold(VIEWS, at=0.2)), bundle()).flag is Flag.YES


def test_the_reason_names_where_the_threshold_comes_from() -> None:
    labelled = answered(0.6, of_site(site_threshold(VIEWS)))
    assert labelled.reason == (
        "above the threshold (score 0.600, threshold 0.500, threshold set on labelled studies of "
        "this site for sensitivity=0.9)"
    )
    budget = answered(0.8, of_site(budget_threshold(VIEWS), target=WEEKLY))
    assert "threshold set by a budget of 5/week, accuracy unknown" in budget.reason
    assert budget.performance is None


def test_other_views_than_those_calibrated_are_not_evaluated() -> None:
    answer = answered(0.9, of_site(site_threshold("cine_lax+cine_sa")))
    assert (answer.flag, answer.why_not) == (Flag.NOT_EVALUATED, ReasonCode.VIEWS_NOT_CALIBRATED)
    assert answer.score is not None


def test_a_calibration_of_another_bundle_never_falls_back_to_the_bundles_threshold() -> None:
    answer = answered(0.9, of_site(site_threshold(VIEWS), made_for="1" * 64))
    assert (answer.flag, answer.why_not) == (
        Flag.NOT_EVALUATED,
        ReasonCode.CALIBRATED_OTHER_BUNDLE,
    )


def test_a_calibration_of_another_content_is_the_reason() -> None:
    void = because(ReasonCode.CALIBRATED_OTHER_CONTENT, version=4)
    answer = answered(0.9, void)
    assert (answer.flag, answer.why_not) == (Flag.NOT_EVALUATED, void.code)
    assert "version 4 of the finding" in answer.reason


def test_a_fit_has_thresholds_of_its_own() -> None:
    answer = answered(0.9, of_site(site_threshold(VIEWS)), finding=BY_EXAMPLES)
    assert answer.why_not is ReasonCode.NOT_FITTED
