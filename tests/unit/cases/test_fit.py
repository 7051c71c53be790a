"""Fitting a finding from examples, on clouds of points that are known to differ."""

from collections.abc import Sequence

import numpy as np
import pytest

from tests.fakes import FakeLibrary
from triage.cases.fit import FEWEST_USUAL, fit
from triage.domain.case import Case
from triage.domain.errors import ConfigurationError
from triage.domain.finding import Examples, Finding
from triage.model.fitted import FewShot, FittedFinding, Head, digest_question
from triage.ports.encoder import Embeddings

WIDTH = 16
HAVING = np.eye(WIDTH, dtype=np.float32)[0]
LACKING = np.eye(WIDTH, dtype=np.float32)[1]
RNG = np.random.default_rng(0)
PROMPTS = HAVING[None]


def cloud(middle: Embeddings, count: int) -> Embeddings:
    points = middle + RNG.normal(0, 0.15, (count, WIDTH))
    return np.asarray(points / np.linalg.norm(points, axis=1, keepdims=True), np.float32)


def library(having: int = 10, lacking: int = 10, reported: bool = False) -> FakeLibrary:  # noqa: FBT001, FBT002 - a test's own
    filled = FakeLibrary()
    for name, middle, count in (("having", HAVING, having), ("lacking", LACKING, lacking)):
        for number, point in enumerate(cloud(middle, count)):
            confirmed = ("thick",) if name == "having" and reported else ()
            impression = "reported" if reported else ""
            uid = f"{name}.{number}"
            labels = {"confirmed": confirmed, "impression": impression, "labelled": reported}
            filled.add(Case(uid, f"patient {uid}", **labels), point)  # type: ignore[arg-type]
    return filled


def finding(examples: Examples, prompts: Sequence[str] = ()) -> Finding:
    return Finding("thick", "Thick", (*prompts,), ("cine_sa",), None, "", None, examples)


def named(kind: str, count: int) -> tuple[str, ...]:
    return tuple(f"{kind}.{number}" for number in range(count))


def shares(fitted: FittedFinding, prompts: Embeddings | None = None) -> tuple[float, float]:
    """Return the share flagged of new studies with the finding, and of those without."""
    flagged = [
        np.mean(fitted.scores(cloud(middle, 200), prompts) > fitted.threshold)
        for middle in (HAVING, LACKING)
    ]
    return float(flagged[0]), float(flagged[1])


@pytest.mark.parametrize(("present", "absent"), [(1, 1), (4, 2), (8, 8), (10, 10)])
def test_few_examples_separate_new_studies(present: int, absent: int) -> None:
    asked_by = finding(Examples(named("having", present), named("lacking", absent)))
    fitted, patients, figures = fit(asked_by, library(), None)
    having, lacking = shares(fitted)
    assert having > 0.9
    assert lacking < 0.1
    assert (figures.present, figures.absent) == (present, absent)
    assert len(patients) == present + absent
    assert (fitted.patients_with, fitted.patients_without) == (present, absent)
    assert (figures.sensitivity is None) == (figures.specificity is None) == (present < 10)


def test_a_sample_of_past_cases_replaces_missing_examples_without_the_finding() -> None:
    asked_by = finding(Examples(named("having", 4)))
    fitted, _, figures = fit(asked_by, library(10, FEWEST_USUAL + 20), None)
    having, lacking = shares(fitted)
    assert having > 0.9
    assert lacking < 0.1
    assert figures.flagged == pytest.approx(6 / (FEWEST_USUAL + 26), abs=0.03)
    with pytest.raises(ConfigurationError, match="list examples without it under `absent`"):
        fit(asked_by, library(), None)


def test_prompts_and_examples_have_equal_weight() -> None:
    asked_by = finding(Examples(named("having", 2)), ["It is thick"])
    fitted, _, _ = fit(asked_by, library(30, FEWEST_USUAL), PROMPTS)
    assert fitted.beside is not None
    having, lacking = shares(fitted, PROMPTS)
    assert having > 0.9
    assert lacking < 0.1
    opposite = fitted.scores(cloud(HAVING, 50), -PROMPTS)
    assert np.mean(opposite) < np.mean(fitted.scores(cloud(HAVING, 50), PROMPTS)) - 1
    with pytest.raises(ConfigurationError, match="prompts together with examples need"):
        fit(finding(Examples(named("having", 2), named("lacking", 2)), ["x"]), library(), PROMPTS)


def test_confirmed_findings_train_a_head() -> None:
    fitted, patients, figures = fit(
        finding(Examples(confirmed=True)), library(15, 40, reported=True), None
    )
    assert isinstance(fitted.fit, Head)
    having, lacking = shares(fitted)
    assert having > 0.9
    assert lacking < 0.1
    assert figures.auc is not None
    assert figures.auc > 0.95
    assert len(patients) == 55


def test_a_head_needs_enough_labelled_patients_of_both_kinds() -> None:
    with pytest.raises(ConfigurationError, match="there are 9 and 40"):
        fit(finding(Examples(confirmed=True)), library(9, 40, reported=True), None)
    with pytest.raises(ConfigurationError, match="there are 0 and 0"):
        fit(finding(Examples(confirmed=True)), library(40, 40), None)


def test_random_examples_give_figures_of_chance() -> None:
    """Examples chosen at random: a case that is left out does not recognise itself."""
    mixed = FakeLibrary()
    for number, point in enumerate(cloud(LACKING, 64)):
        mixed.add(Case(f"{number}", f"patient {number}"), point)
    names = [str(number) for number in range(64)]
    _, _, figures = fit(finding(Examples((*names[:32],), (*names[32:],))), mixed, None)
    assert figures.sensitivity is not None
    assert figures.specificity is not None
    assert figures.sensitivity + figures.specificity < 1.3


def library_of_patients() -> FakeLibrary:
    """Return a library whose embeddings depend only on the patient: 40 patients, 4 studies each."""
    filled = FakeLibrary()
    for patient, own in enumerate(cloud(np.zeros(WIDTH, np.float32), 40)):
        confirmed = ("thick",) if patient % 2 else ()
        for study in range(4):
            case = Case(f"{patient}.{study}", f"{patient}", confirmed=confirmed, labelled=True)
            filled.add(case, cloud(8 * own, 1)[0])
    return filled


def test_other_studies_of_a_patient_do_not_improve_the_figures() -> None:
    _, _, head = fit(finding(Examples(confirmed=True)), library_of_patients(), None)
    assert head.auc is not None
    assert head.auc < 0.8
    present = tuple(f"{patient}.{study}" for patient in range(1, 25, 2) for study in range(4))
    absent = tuple(f"{patient}.{study}" for patient in range(0, 24, 2) for study in range(4))
    _, _, few = fit(finding(Examples(present, absent)), library_of_patients(), None)
    assert few.sensitivity is not None
    assert few.specificity is not None
    assert few.sensitivity + few.specificity < 1.5


def test_a_case_without_labels_is_not_a_counterexample() -> None:
    mixed = library(15, 15, reported=True)
    for number, point in enumerate(cloud(HAVING, 100)):
        mixed.add(Case(f"read.{number}", f"read {number}", impression="It is thick."), point)
    _, _, figures = fit(finding(Examples(confirmed=True)), mixed, None)
    assert (figures.present, figures.absent) == (15, 15)


def test_an_example_that_is_not_in_the_library_is_named() -> None:
    with pytest.raises(ConfigurationError, match="this bundle has no case of elsewhere"):
        fit(finding(Examples(("having.0", "elsewhere"))), library(), None)


def test_a_fit_records_its_examples_and_its_question() -> None:
    asked_by = finding(Examples(named("having", 2), named("lacking", 1)))
    fitted, _, _ = fit(asked_by, library(), None)
    assert {*fitted.examples} == {"having.0", "having.1", "lacking.0"}
    assert len({*fitted.examples.values()}) == 3
    assert fitted.asked == digest_question(asked_by)
    assert fitted.asked != digest_question(
        finding(Examples(named("having", 3), named("lacking", 1)))
    )
    assert isinstance(fitted.fit, FewShot)
    assert FittedFinding.model_validate_json(fitted.model_dump_json()) == fitted
