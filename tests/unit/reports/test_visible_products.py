"""Page, rendered documents and messages: same input, same bytes; no data of other patients."""

from copy import deepcopy
from dataclasses import replace

import pytest

from tests.builders.assessments import ROOT as UIDS
from tests.builders.assessments import STUDY_UID
from tests.builders.products import BUILDERS
from tests.builders.reportings import KINDS, PRIOR, reporting, with_similar
from tests.unit.reports.golden import page_text
from triage.domain.assessment import Disclosure
from triage.domain.errors import StudyDeclined
from triage.reports import fhir, hl7

BUILDER = pytest.mark.parametrize("kind", BUILDERS)


@BUILDER
def test_the_order_of_the_evidence_does_not_matter(kind: str) -> None:
    made = KINDS["usual"]()
    turned = replace(made, evidence=list(made.evidence)[::-1])
    assert BUILDERS[kind](turned) == BUILDERS[kind](made)


@BUILDER
def test_the_evidence_is_not_modified(kind: str) -> None:
    made = KINDS["usual"]()
    before = deepcopy(made.evidence)
    BUILDERS[kind](made)
    assert made.evidence == before


@BUILDER
def test_two_patients_are_rejected(kind: str) -> None:
    made = KINDS["usual"]()
    made.evidence[0].PatientName = "Other^Person"
    with pytest.raises(StudyDeclined, match="2 patients"):
        BUILDERS[kind](made)


@BUILDER
def test_no_uid_of_another_patient_is_in_any_byte(kind: str) -> None:
    strangers = with_similar(uids=True).similar[1:]
    made = reporting(with_similar())
    content = BUILDERS[kind](made).content + page_text(made).encode()
    for case in strangers:
        assert case.study_uid.startswith(UIDS)
        assert case.study_uid.encode() not in content
    assert PRIOR.sop_instance_uid.encode() not in content


@pytest.mark.parametrize("kind", [hl7.KIND, fhir.KIND])
def test_messages_list_no_similar_case(kind: str) -> None:
    alone = replace(with_similar(), similar=())
    source = reporting(with_similar(uids=True), similar_cases=Disclosure.UIDS)
    content = BUILDERS[kind](source).content
    assert content == BUILDERS[kind](reporting(alone)).content
    assert STUDY_UID.encode() in content
