"""Standard codes are in the dictionary of the standard; all others are in the private scheme."""

from dataclasses import replace
from typing import Any

import pytest
from pydicom.sr._concepts_dict import concepts
from pydicom.sr.coding import Code as Concept

from tests.builders.assessments import FINDINGS
from tests.builders.report_codes import OURS, WRITTEN
from triage.domain.assessment import Flag, Presence, Priority
from triage.domain.finding import FindingCode
from triage.reports import codes

STANDARD = {c for c in WRITTEN if c.scheme_designator in {"DCM", "SCT", "UCUM"}}
#: A BCP 47 tag, and a name defined in TID 1500 itself, where PixelMed looks it up.
ELSEWHERE = {codes.ENGLISH, codes.EVALUATIONS}


def meanings_of(concept: Concept) -> set[str]:
    known: Any = concepts[concept.scheme_designator]
    return {entry[concept.value][0] for entry in known.values() if concept.value in entry}


def test_every_standard_code_is_in_the_standard() -> None:
    assert set(WRITTEN) == STANDARD | OURS | ELSEWHERE
    for concept in STANDARD:
        assert concept.meaning in meanings_of(concept), concept


def test_codes_fit_their_attributes() -> None:
    for concept in WRITTEN:
        assert len(concept.value) <= codes.LONGEST_VALUE
        assert len(concept.meaning) <= codes.LONGEST_MEANING
        assert len(concept.scheme_designator) <= codes.LONGEST_VALUE
    assert len({c.value for c in OURS}) == len({c.meaning for c in OURS}) == len(OURS)


def test_every_answer_has_a_code_with_its_meaning() -> None:
    assert {f.value for f in Flag} == {c.meaning for c in codes.FLAGS.values()}
    assert set(codes.PRIORITIES) == set(Priority)
    for presence in Presence:
        assert codes.PRESENCES[presence].meaning.casefold() == presence.value.casefold()


def test_a_verified_code_is_used_else_the_private_scheme() -> None:
    assert codes.finding_concept(FINDINGS[0]) == Concept("371862006", "SCT", "any meaning")
    private = codes.finding_concept(FINDINGS[1])
    assert private[:3] == ("LV_DILATION", codes.SCHEME, "Left ventricular dilation")


def test_long_identifiers_stay_unique_and_fit() -> None:
    ids = ["a" * 16, "a" * 17, "a" * 18, "pericardial_effusion_large", "pericardial_effusion_small"]
    values = {codes.finding_concept(replace(FINDINGS[1], id=id_)).value for id_ in ids}
    assert len(values) == len(ids)
    assert all(len(value) <= codes.LONGEST_VALUE for value in values)
    assert "A" * 16 in values


@pytest.mark.parametrize("concept", sorted(OURS), ids=lambda c: c.value)
def test_no_finding_can_have_a_code_of_the_report(concept: Concept) -> None:
    namesake = concept.value.lower().replace("-", "_")
    assert codes.finding_concept(replace(FINDINGS[1], id=namesake)).value != concept.value


def test_a_long_meaning_is_cut_visibly_and_a_long_scheme_rejected() -> None:
    long = codes.finding_concept(replace(FINDINGS[1], name="x" * 65))
    assert long.meaning == "x" * 63 + "…"
    with pytest.raises(ValueError, match="16 characters"):
        codes.configured_concept(FindingCode("1", "99AVERYLONGSCHEME", "x"))
