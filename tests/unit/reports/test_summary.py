"""What a program is told of an assessment, and what it is not told."""

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


def told(said: Reporting) -> Any:
    return json.loads(summary.build(said).content)


def test_it_names_study_revision_flags_and_what_was_not_evaluated() -> None:
    said = usual()
    told_of = told(reporting(said))
    assert (told_of["study_instance_uid"], told_of["revision"]) == (STUDY_UID, said.revision)
    assert (told_of["flag"], told_of["priority"]) == (said.flag, said.priority)
    assert [(f["id"], f["flag"]) for f in told_of["findings"]] == [
        (each.finding.id, each.flag) for each in said.answers
    ]
    silent = {each.finding.id for each in said.answers if each.flag is Flag.NOT_EVALUATED}
    assert silent
    assert {each["id"] for each in told_of["not_evaluated"]} == silent
    assert all(each["reason"] for each in told_of["not_evaluated"])
    assert told_of["research_use_only"] is True
    assert "Research use only" in told_of["notice"]


@pytest.mark.parametrize("kind", KINDS)
def test_it_tells_nothing_of_the_patient_and_of_no_other_study(kind: str) -> None:
    said = KINDS[kind]()
    content = summary.build(said).content.decode()
    values = {
        str(image.get(keyword, ""))
        for image in said.evidence
        for keyword in (*header.REQUIRED, *header.OPTIONAL)
        if keyword not in {"StudyInstanceUID", "PatientSex", "StudyTime", "SpecificCharacterSet"}
    }
    parts = {part for value in values for part in (value, *value.split("^")) if len(part) > 1}
    assert [part for part in parts if part in content] == []
    others = {case.study_uid for case in said.assessment.similar} - {""}
    assert [uid for uid in others if uid in content] == []


def test_the_search_for_the_patient_finds_what_is_there() -> None:
    (name,) = {str(image.PatientName) for image in evidence()}
    assert len(name.split("^")[0]) > 1


def test_a_number_that_is_none_is_null() -> None:
    first, *others = mixed().answers
    odd = replace(first, score=math.nan, threshold=math.inf)
    finding = told(reporting(replace(mixed(), answers=(odd, *others))))["findings"][0]
    assert (finding["score"], finding["threshold"]) == (None, None)


def test_what_says_the_same_has_the_same_uid_and_what_does_not_another() -> None:
    product = summary.build(reporting(mixed()))
    assert product == summary.build(reporting(mixed()))
    assert (product.media_type, product.sop_class_uid) == (JSON, "")
    second = summary.build(reporting(replace(mixed(), revision=2)))
    assert second.sop_instance_uid != product.sop_instance_uid
