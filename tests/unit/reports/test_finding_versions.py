"""Findings of the ledger in reports: their versions are named, and silent ones are not there."""

from dataclasses import replace

import pytest

from tests.builders.assessments import mixed
from tests.builders.reportings import reporting
from triage.domain.assessment import Assessment
from triage.pipeline.assess import SUMMARY, read_summary
from triage.reports import REPORTS


def with_versions(assessment: Assessment, first: int) -> Assessment:
    answers = [
        replace(answer, finding=replace(answer.finding, version=number))
        for number, answer in enumerate(assessment.answers, first)
    ]
    return replace(assessment, answers=tuple(answers))


@pytest.mark.parametrize("kind", REPORTS)
def test_silent_findings_change_no_byte_of_a_report(kind: str) -> None:
    """Their scores are in the summary of the ledger, which is no product."""
    usual = mixed()
    on_trial = replace(usual, trial=with_versions(usual, 7).answers)
    assert read_summary(SUMMARY.dump_json(on_trial).decode()).trial == on_trial.trial
    made = [REPORTS[kind].build(reporting(assessment)) for assessment in (usual, on_trial)]
    assert made[0] == made[1]


def test_another_version_of_a_finding_gives_another_structured_report() -> None:
    build = REPORTS["structured_report"].build
    made = [build(reporting(a)) for a in (mixed(), *(with_versions(mixed(), n) for n in (1, 2)))]
    assert len({product.sop_instance_uid for product in made if product}) == 3


def test_the_structured_report_names_the_version_of_every_finding() -> None:
    assessment = with_versions(mixed(), 3)
    product = REPORTS["structured_report"].build(reporting(assessment))
    assert product is not None
    for number, answer in enumerate(assessment.answers, 3):
        assert f"finding_version={answer.finding.id} {number}".encode() in product.content
