"""Predictive values of a score, with counts and 95 % intervals.

Intervals of proportions are those of Wilson (1927; method 3 of Newcombe, Stat Med 1998;17:857). At
the prevalence of the labelled studies a predictive value is a proportion of them. At another
prevalence it follows from sensitivity and specificity by Bayes' theorem, and its interval from the
Wilson limits of both, which is wider than 95 %.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from export.metrics import balanced_threshold, specific_threshold, spread_of
from triage.domain.errors import ConfigurationError
from triage.domain.performance import observed_rate
from triage.model.bundle import DecisiveScore, Threshold
from triage.model.roc import Floats

Mask = NDArray[np.bool_]  #: (N,)

LEAST_AUC = 0.8  #: below it a finding gets no threshold


@dataclass(frozen=True)
class CalibrationRules:
    """What a person decides about a calibration."""

    least_auc: float = LEAST_AUC  #: a finding with a lower AUC gets no threshold
    prevalence: float | None = None  #: of the findings where the bundle is used; None: as measured
    rule_in: tuple[str, ...] = ()  #: findings that are Present above a measured score
    rule_out: tuple[str, ...] = ()  #: findings that are Absent below a measured score


DEFAULT_RULES = CalibrationRules()


@dataclass(frozen=True)
class PredictiveValue:
    """The share of studies beyond a score that are as the score predicts."""

    value: float
    right: int
    studies: int
    interval: tuple[float, float]


def measure_threshold(
    scores: Floats, labels: Floats, prompts: tuple[str, ...], prevalence: float | None = None
) -> Threshold:
    """Return the threshold of a finding, with predictive values at it and at the specific one.

    The values are options, lowest score first; none of them is used.
    """
    threshold, specific = balanced_threshold(scores, labels), specific_threshold(scores, labels)
    places = sorted({threshold, specific})
    above = [measure_rule_in(scores, labels, at, prevalence) for at in places if at >= threshold]
    below = [measure_rule_out(scores, labels, at, prevalence) for at in places if at <= threshold]
    return Threshold(
        threshold=threshold,
        specific=specific,
        spread=spread_of(scores, labels),
        rule_in_options=tuple(option for option in above if option is not None),
        rule_out_options=tuple(option for option in below if option is not None),
        prompts=prompts,
    )


def state_rules(
    thresholds: Mapping[str, Threshold], rules: CalibrationRules
) -> dict[str, Threshold]:
    """Return the thresholds with the rules that a person has stated.

    A rule-in uses the option with the highest score, a rule-out the one with the lowest.

    Raises:
        ConfigurationError: A finding has no threshold or no option.
    """
    found = dict(thresholds)
    for id_ in rules.rule_in:
        options = found[id_].rule_in_options if id_ in found else ()
        found[id_] = _use(found, id_, "rule_in", options[-1:])
    for id_ in rules.rule_out:
        options = found[id_].rule_out_options if id_ in found else ()
        found[id_] = _use(found, id_, "rule_out", options[:1])
    return found


def state_possible_rules(
    thresholds: Mapping[str, Threshold], rules: CalibrationRules
) -> dict[str, Threshold]:
    """Return thresholds of some views with the stated rules that they have an option for.

    The options themselves are left out: only those of whole studies are offered.
    """
    ins = [id_ for id_ in rules.rule_in if id_ in thresholds and thresholds[id_].rule_in_options]
    outs = [id_ for id_ in rules.rule_out if id_ in thresholds and thresholds[id_].rule_out_options]
    found = state_rules(thresholds, replace(rules, rule_in=tuple(ins), rule_out=tuple(outs)))
    none: dict[str, tuple[DecisiveScore, ...]] = {"rule_in_options": (), "rule_out_options": ()}
    return {id_: threshold.model_copy(update=none) for id_, threshold in found.items()}


def _use(
    thresholds: Mapping[str, Threshold], id_: str, rule: str, option: tuple[DecisiveScore, ...]
) -> Threshold:
    if not option:
        raise ConfigurationError(f"{id_}: no predictive value was measured that {rule} could use")
    return thresholds[id_].model_copy(update={rule: option[0]})


def measure_rule_in(
    scores: Floats, labels: Floats, score: float, prevalence: float | None = None
) -> DecisiveScore | None:
    """Return the positive predictive value above a score; None if no study above has the finding.

    Args:
        scores: (N,)
        labels: (N,) of 0, 1 or NaN.
        score: Studies above it are counted.
        prevalence: Of the finding, where the score will be used; that of the labels if None.
    """
    found = _measure(scores > score, labels == 1, labels == 0, prevalence)
    return None if found is None else _describe(score, found, labels, prevalence)


def measure_rule_out(
    scores: Floats, labels: Floats, score: float, prevalence: float | None = None
) -> DecisiveScore | None:
    """Return the negative predictive value below a score, as `measure_rule_in` does above it."""
    prior = None if prevalence is None else 1 - prevalence
    found = _measure(scores < score, labels == 0, labels == 1, prior)
    return None if found is None else _describe(score, found, labels, prevalence)


def _measure(
    beyond: Mask, predicted: Mask, other: Mask, prior: float | None
) -> PredictiveValue | None:
    """Measure a side of a score; `prior` is the stated share of studies that are as predicted."""
    right, wrong = int(np.sum(beyond & predicted)), int(np.sum(beyond & other))
    if right == 0:
        return None
    studies = right + wrong
    if prior is None:
        seen = observed_rate(right, studies)
        return PredictiveValue(seen.value, right, studies, (seen.low, seen.high))
    all_right, all_wrong = int(predicted.sum()), int(other.sum())
    hit, miss = observed_rate(right, all_right), observed_rate(wrong, all_wrong)
    value = _bayes(hit.value, miss.value, prior)
    interval = _bayes(hit.low, miss.high, prior), _bayes(hit.high, miss.low, prior)
    return PredictiveValue(value, right, studies, interval)


def _bayes(right: float, wrong: float, prior: float) -> float:
    """Return the share that is as predicted, from the rates beyond the score of both kinds."""
    return right * prior / (right * prior + wrong * (1 - prior))


def _describe(
    score: float, found: PredictiveValue, labels: Floats, prevalence: float | None
) -> DecisiveScore:
    low, high = found.interval
    measured = float(np.nanmean(labels))
    share = f"prevalence {measured:.2f}"
    if prevalence is not None:
        share = f"prevalence {measured:.2f}, converted to {prevalence:.2f}"
    return DecisiveScore(
        score=score,
        predictive_value=found.value,
        measured_on=f"{found.right} of {found.studies} labelled studies, 95 % interval"
        f" {low:.2f} to {high:.2f}, {share}",
        right=found.right,
        studies=found.studies,
        interval=found.interval,
    )
