"""Content of the JSON summary, and data that it must not have."""

import json
import math
from dataclasses import replace
from typing import Any

import pytest

from tests.builders.assessments import STUDY_UID, evidence, mixed
from tests.builders.reportings import KINDS, reporting, usual
from triage.domain.assessment import Flag
from triage.domain.delivery import JSON
from triage.reports import header, summary
from triage.reports.reporting import Reporting


def parsed_summary(reporting: Reporting) -> Any:
    return json.loads(summary.build(reporting).content)


def test_it_has_study_revision_flags_and_findings_not_evaluated() -> None:
    source = usual()
    content = parsed_summary(reporting(source))
    assert (content["study_instance_uid"], content["revision"]) == (STUDY_UID, source.revision)
    assert (content["flag"], content["priority"]) == (source.flag, source.priority)
    assert content["accession_number"] == evidence()[0].AccessionNumber != ""
    assert [(f["id"], f["flag"]) for f in content["findings"]] == [
        (answer.finding.id, answer.flag) for answer in source.answers
    ]
    silent = {answer.finding.id for answer in source.answers if answer.flag is Flag.NOT_EVALUATED}
    assert silent
    assert {finding["id"] for finding in content["not_evaluated"]} == silent
    assert all(finding["reason"] for finding in content["not_evaluated"])
    assert content["research_use_only"] is True
    assert "Research use only" in content["notice"]


@pytest.mark.parametrize("kind", KINDS)
def test_it_has_no_patient_data_and_no_other_study(kind: str) -> None:
    source = KINDS[kind]()
    content = summary.build(source).content.decode()
    values = {
        str(image.get(keyword, ""))
        for image in source.evidence
        for keyword in (*header.REQUIRED, *header.OPTIONAL)
        if keyword not in {"StudyInstanceUID", "AccessionNumber", "PatientSex", "StudyTime"}
    }
    parts = {part for value in values for part in (value, *value.split("^")) if len(part) > 1}
    assert [part for part in parts if part in content] == []
    others = {case.study_uid for case in source.assessment.similar} - {""}
    assert [uid for uid in others if uid in content] == []


def test_the_search_for_patient_data_finds_existing_values() -> None:
    (name,) = {str(image.PatientName) for image in evidence()}
    assert len(name.split("^")[0]) > 1


def test_a_number_that_is_not_finite_is_null() -> None:
    first, *others = mixed().answers
    odd = replace(first, score=math.nan, threshold=math.inf)
    finding = parsed_summary(reporting(replace(mixed(), answers=(odd, *others))))["findings"][0]
    assert (finding["score"], finding["threshold"]) == (None, None)


def test_equal_content_has_the_same_uid_and_other_content_another() -> None:
    product = summary.build(reporting(mixed()))
    assert product == summary.build(reporting(mixed()))
    assert (product.media_type, product.sop_class_uid) == (JSON, "")
    second = summary.build(reporting(replace(mixed(), revision=2)))
    assert second.sop_instance_uid != product.sop_instance_uid
