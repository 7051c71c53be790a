"""A flag is not a finding: without a calibrated rule-in, no product states that it is present."""

import re

import pytest

from tests.builders.reportings import KINDS, marked, reporting
from tests.unit.reports.golden import product_texts
from triage.domain.assessment import Flag
from triage.reports import REPORTS, sheet
from triage.reports.page import render
from triage.reports.secondary_capture import render_sheets

PRESENT = re.compile(r"\bPresent\b")


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "decided"])
def test_without_a_rule_in_no_product_has_the_word_present(kind: str) -> None:
    shown = product_texts(KINDS[kind]())
    assert {*shown} >= {*REPORTS} - {"key_images"}
    assert [name for name, text in shown.items() if PRESENT.search(text)] == []


def test_with_a_rule_in_the_coded_products_have_it_with_its_figures() -> None:
    shown = product_texts(KINDS["decided"]())
    for name in ("structured_report", "hl7", "fhir", "summary"):
        assert PRESENT.search(shown[name])
        assert "positive predictive value 0.93 on 412 studies" in shown[name]


def test_a_flag_is_called_a_flag_for_review() -> None:
    shown = product_texts(KINDS["usual"]())
    for name in ("hl7", "fhir", "page"):
        assert "flagged for review" in shown[name].replace("\n", " ")


def test_an_unfamiliar_study_is_silent_in_every_product() -> None:
    made = KINDS["unfamiliar"]()
    assert made.assessment.flag is Flag.NOT_EVALUATED
    shown = product_texts(made)
    assert "key_images" not in shown
    for name in ("structured_report", "hl7", "fhir", "summary", "page"):
        flat = shown[name].replace("\n", " ")
        assert "unlike the studies the model was trained on" in flat
    for text in shown.values():
        flat = text.replace("\n", " ")
        assert not re.search(r"EXPEDITE|Expedite|Read sooner|FLAGGED|flagged for review", flat)


def test_a_marked_study_states_the_reason_of_the_site_in_every_product_for_people() -> None:
    shown = product_texts(reporting(marked()))
    for name in ("structured_report", "hl7", "fhir", "summary", "page"):
        assert "research arm of trial 12" in shown[name].replace("\n", " ")


def test_no_product_places_a_fitted_score_between_minus_one_and_one() -> None:
    shown = product_texts(KINDS["decided"]())
    assert "fitted from 24 examples" in shown["structured_report"]
    assert "fitted from 24 examples" in shown["page"].replace("\n", " ")
    scale = "difference of the distances to examples without and with it, -2 to 2"
    assert f"AI-EXAMPLE-DIST={scale}" in shown["structured_report"]
    assert scale in shown["page"].replace("\n", " ")


def test_the_page_of_a_silent_study_has_no_red() -> None:
    red = [int(sheet.RED[i : i + 2], 16) for i in (1, 3, 5)]
    for kind, is_red in (("unfamiliar", False), ("usual", True)):
        (drawn,) = render_sheets(render(KINDS[kind]()))
        assert bool((drawn == red).all(axis=2).any()) is is_red
