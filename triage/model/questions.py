"""The score function and threshold of each finding: from its prompts, or fitted from its examples.

A threshold is valid for one bundle and exactly the prompts, or the examples, it was made with. The
site's own calibration takes precedence over the bundle's; one that does not hold any more leaves
the finding without threshold, because the bundle's would change the meaning of a flag unnoticed. A
fit has thresholds of its own. A question that must not flag carries the reason, for radiologists
and administrators.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from triage.domain.assessment import ScoreKind, describe_examples
from triage.domain.calibration import CalibrationTarget, SiteCalibration
from triage.domain.finding import Finding, FindingSet
from triage.domain.performance import Performance
from triage.domain.reasons import Reason, ReasonCode, because
from triage.model.bundle import Bundle, Calibration, DecisiveScore, Threshold
from triage.model.fitted import FEWEST_PATIENTS, FittedFinding, digest_fit, digest_question
from triage.model.prompts import PromptEmbeddings, mean_cosines
from triage.ports.encoder import Embeddings

ScoreFunction = Callable[[Embeddings], NDArray[np.float64]]  #: from embeddings (n, D) to (n,)
Questions = Mapping[str, "Question"]  #: by finding id


@dataclass(frozen=True)
class Question:
    """How one bundle evaluates one finding."""

    scores: ScoreFunction | None  #: None if no score can be computed
    #: None if nothing can be flagged, or only by the views of a study
    threshold: float | None
    rule_in: DecisiveScore | None = None  #: a higher score rules the finding in
    rule_out: DecisiveScore | None = None  #: a lower score rules the finding out
    why_not: Reason | None = None  #: why nothing may be flagged, although a score is computed
    fitted: str = ""  #: digest of what was fitted from examples, in hexadecimal
    kind: ScoreKind = ScoreKind.SIMILARITY
    examples: int = 0  #: number of examples of the fit
    spread: float | None = None  #: standard deviation of the scores of labelled studies, if known
    performance: Performance | None = None  #: what the threshold achieves; None: not stated
    target: CalibrationTarget | None = None  #: of the site's calibration; None: it has none
    #: the question by the views of a study (`ClipForm.name_views`); None: this one for any views
    by_views: Mapping[str, "Question"] | None = None

    def for_views(self, name: str) -> "Question":
        """Return the question for a study that shows exactly the views of this name.

        A finding that was not calibrated for these views keeps its score and must not flag.
        """
        if self.by_views is None:
            return self
        known = self.by_views.get(name)
        if known is not None:
            return known
        why_not = because(ReasonCode.VIEWS_NOT_CALIBRATED, views=name.replace("+", ", "))
        return Question(
            self.scores,
            None,
            why_not=why_not,
            fitted=self.fitted,
            kind=self.kind,
            examples=self.examples,
        )


def build_questions(
    findings: FindingSet,
    bundle: Bundle,
    prompts: PromptEmbeddings,
    fitted: Mapping[str, FittedFinding],
) -> Questions:
    """Return the question of each finding; `fitted` is by finding id, for this bundle."""
    return {
        finding.id: _question_by_examples(finding, prompts.get(finding.id), fitted.get(finding.id))
        if finding.examples is not None
        else _question_by_site(findings.calibrations[finding.id], bundle, prompts[finding.id])
        if finding.id in findings.calibrations
        else _question_by_prompts(finding, bundle, prompts[finding.id])
        for finding in findings.findings
    }


def explain_not_evaluated(
    findings: FindingSet, bundle: Bundle, fitted: Mapping[str, FittedFinding]
) -> Mapping[str, Reason]:
    """Return why findings would be Not Evaluated in every study, by finding id.

    It needs no embeddings of prompts, so no session is opened.
    """
    if not bundle.manifest.trained:
        untrained = because(ReasonCode.MODEL_UNTRAINED)
        return {finding.id: untrained for finding in findings.findings}
    nothing = np.zeros((1, bundle.manifest.sizes.embedding), np.float32)
    unscored = {finding.id: nothing for finding in findings.findings}
    questions = build_questions(findings, bundle, unscored, fitted)
    return {id_: asked.why_not for id_, asked in questions.items() if asked.why_not is not None}


def _question_by_site(
    calibration: SiteCalibration | Reason, bundle: Bundle, prompts: NDArray[np.float32]
) -> Question:
    """Return the question of a finding that the site has calibrated."""
    question = Question(partial(mean_cosines, prompts), None)
    if isinstance(calibration, Reason):
        return replace(question, why_not=calibration)
    if why_not := calibration.explain_void(calibration.content, bundle.digest):
        return replace(question, why_not=why_not)
    question = replace(question, target=calibration.target)
    by_views = {
        known.views: replace(
            question,
            threshold=known.threshold,
            spread=known.spread,
            performance=known.performance,
        )
        for known in calibration.thresholds
    }
    return replace(question, by_views=by_views)


def _question_by_prompts(
    finding: Finding, bundle: Bundle, prompts: NDArray[np.float32]
) -> Question:
    calibrated = bundle.calibration.findings.get(finding.id) if bundle.calibration else None
    scores = partial(mean_cosines, prompts)
    if calibrated is None or {*calibrated.prompts} != {*finding.prompts}:
        return Question(scores, None, why_not=because(ReasonCode.NOT_CALIBRATED))
    question = Question(scores, None)
    by_views = _select_view_sets(finding, question, bundle.calibration)
    return replace(_state(question, calibrated), by_views=by_views)


def _select_view_sets(
    finding: Finding, question: Question, calibration: Calibration | None
) -> Questions | None:
    """Return the question by the views of a study; None if one threshold holds for any."""
    if calibration is None or not calibration.by_views:
        return None
    return {
        views: _state(question, thresholds[finding.id])
        for views, thresholds in calibration.by_views.items()
        if finding.id in thresholds
    }


def _question_by_examples(
    finding: Finding, prompts: NDArray[np.float32] | None, fitted: FittedFinding | None
) -> Question:
    if fitted is None or fitted.asked != digest_question(finding):
        return Question(None, None, why_not=because(ReasonCode.NOT_FITTED))
    question = Question(
        partial(fitted.scores, prompts=prompts),
        None,
        fitted=digest_fit(fitted),
        kind=fitted.kind,
        examples=len(fitted.examples),
    )
    if not fitted.by_views:
        examples = describe_examples(len(fitted.examples))
        few = because(ReasonCode.FEW_EXAMPLES, examples=examples, fewest=FEWEST_PATIENTS)
        return replace(question, why_not=few)
    by_views = {
        views: replace(question, threshold=known.threshold, spread=known.spread)
        for views, known in fitted.by_views.items()
    }
    return replace(question, by_views=by_views)


def _state(question: Question, known: Threshold) -> Question:
    """Return a question with the threshold and all that was calibrated with it."""
    return replace(
        question,
        threshold=known.threshold,
        rule_in=known.rule_in,
        rule_out=known.rule_out,
        spread=known.spread,
        performance=known.performance,
    )
