"""Predictive values and their intervals, against published and hand-calculated figures."""

import numpy as np
import pytest

from export.predictive import (
    CalibrationRules,
    measure_rule_in,
    measure_rule_out,
    measure_threshold,
    state_rules,
)
from export.terminal import describe_threshold
from triage.domain.errors import ConfigurationError
from triage.domain.performance import observed_rate
from triage.model.roc import Floats

#: 20 studies with the finding, 80 without; above 0.5 are 16 and 8, and one of each is unlabelled.
SCORES = np.array([0.8] * 16 + [0.2] * 4 + [0.8] * 8 + [0.2] * 72 + [0.8, 0.2])
LABELS = np.array([1.0] * 20 + [0.0] * 80 + [np.nan, np.nan])


def test_predictive_values_at_the_prevalence_of_the_labels() -> None:
    above, below = measure_rule_in(SCORES, LABELS, 0.5), measure_rule_out(SCORES, LABELS, 0.5)
    assert above is not None
    assert below is not None
    assert (above.right, above.studies, above.predictive_value) == (16, 24, 16 / 24)
    assert (below.right, below.studies, below.predictive_value) == (72, 76, 72 / 76)
    seen = observed_rate(16, 24)
    assert above.interval == (seen.low, seen.high)
    expected = "16 of 24 labelled studies, 95 % interval 0.47 to 0.82, prevalence 0.20"
    assert above.measured_on == expected


def test_a_rarer_finding_has_a_lower_positive_and_a_higher_negative_value() -> None:
    above = measure_rule_in(SCORES, LABELS, 0.5, 0.05)
    below = measure_rule_out(SCORES, LABELS, 0.5, 0.05)
    assert above is not None
    assert below is not None
    # Bayes with sensitivity 0.8 and specificity 0.9
    assert above.predictive_value == pytest.approx(0.04 / (0.04 + 0.095))
    assert below.predictive_value == pytest.approx(0.855 / (0.855 + 0.01))
    for found in (above, below):
        assert found.interval is not None
        assert found.interval[0] < found.predictive_value < found.interval[1]
    assert above.measured_on.endswith("prevalence 0.20, converted to 0.05")


def test_the_measured_prevalence_changes_nothing_if_it_is_stated() -> None:
    stated, measured = (measure_rule_in(SCORES, LABELS, 0.5, at) for at in (0.2, None))
    assert stated is not None
    assert measured is not None
    assert stated.predictive_value == pytest.approx(measured.predictive_value)


def test_a_side_without_a_right_study_has_no_value() -> None:
    assert measure_rule_in(SCORES, LABELS, 0.9) is None
    assert measure_rule_in(SCORES, np.zeros(len(SCORES)), 0.5) is None
    assert measure_rule_out(SCORES, LABELS, 0.1) is None


def spread() -> tuple[Floats, Floats]:
    rng = np.random.default_rng(2)
    labels = (np.arange(200) % 3 == 0).astype(float)
    return np.clip(rng.normal(0.2 + 0.3 * labels, 0.15), -1, 1), labels


def test_options_decide_nothing_until_a_person_states_them() -> None:
    found = measure_threshold(*spread(), prompts=("a",))
    assert found.rule_in is found.rule_out is None
    assert [option.score for option in found.rule_in_options] == [found.threshold, found.specific]
    assert [option.score for option in found.rule_out_options] == [found.threshold]
    assert not any("IN USE" in line for line in describe_threshold(found))
    stated = state_rules(
        {"one": found, "other": found}, CalibrationRules(rule_in=("one",), rule_out=("one",))
    )
    assert stated["other"] == found
    assert stated["one"].rule_in == found.rule_in_options[-1]
    assert stated["one"].rule_out == found.rule_out_options[0]
    type(found).model_validate(stated["one"].model_dump())  # in an order that the worker accepts
    assert sum("IN USE" in line for line in describe_threshold(stated["one"])) == 2


@pytest.mark.parametrize(
    "rules", [CalibrationRules(rule_in=("none",)), CalibrationRules(rule_out=("none",))]
)
def test_a_rule_without_figures_cannot_be_stated(rules: CalibrationRules) -> None:
    with pytest.raises(ConfigurationError, match="none: no predictive value"):
        state_rules({}, rules)
