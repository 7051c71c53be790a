"""Fitting a finding from examples, on clouds of points that are known to differ."""

from collections.abc import Sequence

import numpy as np
import pytest

from tests.fakes import FakeLibrary
from triage.cases.fit import FEWEST_USUAL, fit
from triage.domain.case import Case
from triage.domain.errors import ConfigurationError
from triage.domain.finding import Examples, Finding
from triage.model.bundle import ClipForm
from triage.model.fitted import FewShot, FittedFinding, Head, digest_question
from triage.ports.encoder import Embeddings

WIDTH = 16
HAVING = np.eye(WIDTH, dtype=np.float32)[0]
LACKING = np.eye(WIDTH, dtype=np.float32)[1]
RNG = np.random.default_rng(0)
KINDS = (HAVING, LACKING)
PROMPTS = HAVING[None]
FORM = ClipForm(frames=64, height=24, width=24)
SHORT_AXIS, BOTH = ("cine_sa",), ("cine_sa", "cine_lax")


def cloud(middle: Embeddings, count: int, spread: float = 0.15) -> Embeddings:
    points = middle + RNG.normal(0, spread, (count, WIDTH))
    return np.asarray(points / np.linalg.norm(points, axis=1, keepdims=True), np.float32)


def library(having: int = 10, lacking: int = 10, reported: bool = False) -> FakeLibrary:  # noqa: FBT001, FBT002 - a test's own
    filled = FakeLibrary()
    for name, middle, count in (("having", HAVING, having), ("lacking", LACKING, lacking)):
        for number, point in enumerate(cloud(middle, count)):
            confirmed = ("thick",) if name == "having" and reported else ()
            impression = "reported" if reported else ""
            uid = f"{name}.{number}"
            labels = {"confirmed": confirmed, "impression": impression, "labelled": reported}
            case = Case(uid, f"patient {uid}", views=SHORT_AXIS, **labels)  # type: ignore[arg-type]
            filled.add(case, point)
    return filled


def finding(examples: Examples, prompts: Sequence[str] = ()) -> Finding:
    return Finding("thick", "Thick", (*prompts,), ("cine_sa",), None, "", None, examples)


def named(kind: str, count: int) -> tuple[str, ...]:
    return tuple(f"{kind}.{number}" for number in range(count))


def shares(fitted: FittedFinding, views: str = "cine_sa") -> tuple[float, float]:
    """Return the share flagged of new studies with the finding, and of those without."""
    threshold = fitted.by_views[views].threshold
    flagged = [np.mean(fitted.scores(cloud(kind, 200), None) > threshold) for kind in KINDS]
    return float(flagged[0]), float(flagged[1])


def separation(fitted: FittedFinding, prompts: Embeddings | None = None) -> float:
    """Return the AUC for new studies with the finding and without."""
    having, lacking = (fitted.scores(cloud(kind, 200), prompts) for kind in KINDS)
    return float(np.mean(having[:, None] > lacking))


@pytest.mark.parametrize(("present", "absent"), [(1, 1), (4, 2), (9, 10), (10, 10)])
def test_few_examples_separate_new_studies(present: int, absent: int) -> None:
    asked_by = finding(Examples(named("having", present), named("lacking", absent)))
    fitted, patients, figures = fit(asked_by, library(), None, FORM)
    assert separation(fitted) > 0.95
    assert (figures.present, figures.absent) == (present, absent)
    assert len(patients) == present + absent
    may_flag = min(present, absent) >= 10
    assert figures.views == (("cine_sa",) if may_flag else ())
    assert (figures.sensitivity is not None) == (figures.specificity is not None) == may_flag


def test_ten_patients_of_each_side_set_a_threshold() -> None:
    asked_by = finding(Examples(named("having", 10), named("lacking", 10)))
    fitted, _, figures = fit(asked_by, library(10, FEWEST_USUAL + 20), None, FORM)
    having, lacking = shares(fitted)
    assert having > 0.9
    assert lacking < 0.1
    assert figures.flagged is not None
    assert figures.flagged < 0.1


@pytest.mark.parametrize(("present", "absent"), [(32, 10), (10, 32)])
def test_examples_of_unequal_number_favour_no_side(present: int, absent: int) -> None:
    """With a threshold from the scores of the fit's own examples, one share is below 0.7."""
    filled = FakeLibrary()
    for name, middle, count in (("having", 0.3, present), ("lacking", -0.3, absent)):
        for number, point in enumerate(cloud(LACKING + middle * HAVING, count, spread=0.3)):
            filled.add(Case(f"{name}.{number}", f"{name}.{number}", views=SHORT_AXIS), point)
    asked_by = finding(Examples(named("having", present), named("lacking", absent)))
    fitted, _, _ = fit(asked_by, filled, None, FORM)
    threshold = fitted.by_views["cine_sa"].threshold
    caught, alarms = (
        np.mean(fitted.scores(cloud(LACKING + side * HAVING, 400, 0.3), None) > threshold)
        for side in (0.3, -0.3)
    )
    assert abs(caught - (1 - alarms)) < 0.2


def test_each_set_of_views_has_a_threshold_of_its_own() -> None:
    """Studies with both views are elsewhere, as if all of them had the finding."""
    shift = 0.8 * HAVING
    filled = library(12, 12)
    for name, middle, count in (("having", HAVING, 12), ("lacking", LACKING, 12)):
        for number, point in enumerate(cloud(middle + shift, count), start=12):
            filled.add(Case(f"{name}.{number}", f"{name}.{number}", views=BOTH), point)
        point = cloud(middle, 1)[0]  # too few with these views
        filled.add(Case(f"{name}.24", f"{name}.24", views=(*BOTH, "lge_sa")), point)
    asked_by = finding(Examples(named("having", 25), named("lacking", 25)))
    fitted, _, figures = fit(asked_by, filled, None, FORM)
    assert {*figures.views} == {*fitted.by_views} == {"cine_sa", "cine_lax+cine_sa"}
    assert figures.sensitivity is not None
    assert figures.specificity is not None
    assert min(figures.sensitivity, figures.specificity) > 0.8
    for views, moved in (("cine_sa", 0 * shift), ("cine_lax+cine_sa", shift)):
        threshold = fitted.by_views[views].threshold
        caught, alarms = (
            np.mean(fitted.scores(cloud(kind + moved, 200), None) > threshold) for kind in KINDS
        )
        assert caught > 0.8
        assert alarms < 0.2


def test_several_studies_of_a_patient_are_no_ten_patients() -> None:
    filled = library(10, 0)
    for number, point in enumerate(cloud(LACKING, 20)):
        filled.add(Case(f"lacking.{number}", f"{number % 9}", views=SHORT_AXIS), point)
    asked_by = finding(Examples(named("having", 10), named("lacking", 20)))
    fitted, _, figures = fit(asked_by, filled, None, FORM)
    assert fitted.by_views == {}
    assert figures.views == ()


def test_a_sample_of_past_cases_replaces_missing_examples_without_the_finding() -> None:
    asked_by = finding(Examples(named("having", 4)))
    fitted, _, figures = fit(asked_by, library(10, FEWEST_USUAL + 20), None, FORM)
    assert separation(fitted) > 0.95
    assert (fitted.by_views, figures.flagged) == ({}, None)  # no example lacks the finding
    with pytest.raises(ConfigurationError, match="list examples without it under `absent`"):
        fit(asked_by, library(), None, FORM)


def test_prompts_and_examples_have_equal_weight() -> None:
    asked_by = finding(Examples(named("having", 2)), ["It is thick"])
    fitted, _, _ = fit(asked_by, library(30, FEWEST_USUAL), PROMPTS, FORM)
    assert fitted.beside is not None
    assert separation(fitted, PROMPTS) > 0.95
    opposite = fitted.scores(cloud(HAVING, 50), -PROMPTS)
    assert np.mean(opposite) < np.mean(fitted.scores(cloud(HAVING, 50), PROMPTS)) - 1
    with pytest.raises(ConfigurationError, match="prompts together with examples need"):
        fit(
            finding(Examples(named("having", 2), named("lacking", 2)), ["x"]),
            library(),
            PROMPTS,
            FORM,
        )


def test_confirmed_findings_train_a_head() -> None:
    fitted, patients, figures = fit(
        finding(Examples(confirmed=True)), library(15, 40, reported=True), None, FORM
    )
    assert isinstance(fitted.fit, Head)
    having, lacking = shares(fitted)
    assert having > 0.9
    assert lacking < 0.1
    assert figures.auc is not None
    assert figures.auc > 0.95
    assert figures.views == ("cine_sa",)
    assert len(patients) == 55


def test_a_head_needs_enough_labelled_patients_of_both_kinds() -> None:
    with pytest.raises(ConfigurationError, match="there are 9 and 40"):
        fit(finding(Examples(confirmed=True)), library(9, 40, reported=True), None, FORM)
    with pytest.raises(ConfigurationError, match="there are 0 and 0"):
        fit(finding(Examples(confirmed=True)), library(40, 40), None, FORM)


def test_random_examples_give_figures_of_chance() -> None:
    """Examples chosen at random: a case that is left out does not recognise itself."""
    mixed = FakeLibrary()
    for number, point in enumerate(cloud(LACKING, 64)):
        mixed.add(Case(f"{number}", f"patient {number}", views=SHORT_AXIS), point)
    names = [str(number) for number in range(64)]
    _, _, figures = fit(finding(Examples((*names[:32],), (*names[32:],))), mixed, None, FORM)
    assert figures.sensitivity is not None
    assert figures.specificity is not None
    assert figures.sensitivity + figures.specificity < 1.3


def library_of_patients() -> FakeLibrary:
    """Return a library whose embeddings depend only on the patient: 40 patients, 4 studies each."""
    filled = FakeLibrary()
    for patient, own in enumerate(cloud(np.zeros(WIDTH, np.float32), 40)):
        confirmed = ("thick",) if patient % 2 else ()
        for study in range(4):
            uid = f"{patient}.{study}"
            case = Case(uid, f"{patient}", views=SHORT_AXIS, confirmed=confirmed, labelled=True)
            filled.add(case, cloud(8 * own, 1)[0])
    return filled


def test_other_studies_of_a_patient_do_not_improve_the_figures() -> None:
    """A patient's own studies would give figures near 1; so few patients need several tries."""
    present = tuple(f"{patient}.{study}" for patient in range(1, 25, 2) for study in range(4))
    absent = tuple(f"{patient}.{study}" for patient in range(0, 24, 2) for study in range(4))
    heads, sums = [], []
    for _ in range(8):
        past = library_of_patients()
        _, _, head = fit(finding(Examples(confirmed=True)), past, None, FORM)
        _, _, few = fit(finding(Examples(present, absent)), past, None, FORM)
        assert head.auc is not None
        assert few.sensitivity is not None
        assert few.specificity is not None
        heads.append(head.auc)
        sums.append(few.sensitivity + few.specificity)
    assert np.mean(heads) < 0.75
    assert np.mean(sums) < 1.4


def test_a_case_without_labels_is_not_a_counterexample() -> None:
    mixed = library(15, 15, reported=True)
    for number, point in enumerate(cloud(HAVING, 100)):
        mixed.add(Case(f"read.{number}", f"read {number}", impression="It is thick."), point)
    _, _, figures = fit(finding(Examples(confirmed=True)), mixed, None, FORM)
    assert (figures.present, figures.absent) == (15, 15)


def test_an_example_that_is_not_in_the_library_is_named() -> None:
    with pytest.raises(ConfigurationError, match="this bundle has no case of elsewhere"):
        fit(finding(Examples(("having.0", "elsewhere"))), library(), None, FORM)


def test_a_fit_records_its_examples_and_its_question() -> None:
    asked_by = finding(Examples(named("having", 2), named("lacking", 1)))
    fitted, _, _ = fit(asked_by, library(), None, FORM)
    assert {*fitted.examples} == {"having.0", "having.1", "lacking.0"}
    assert len({*fitted.examples.values()}) == 3
    assert fitted.asked == digest_question(asked_by)
    assert fitted.asked != digest_question(
        finding(Examples(named("having", 3), named("lacking", 1)))
    )
    assert isinstance(fitted.fit, FewShot)
    assert FittedFinding.model_validate_json(fitted.model_dump_json()) == fitted
