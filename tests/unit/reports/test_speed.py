"""All products of one study are built in time.

No builder waits for a network or a disk. The median was 3.9 on two shared cores.
"""

from dataclasses import replace

from tests.builders.assessments import FINDINGS
from tests.builders.reportings import all_flagged, flagged, reporting
from tests.processor_time import measure_ratio
from triage.domain.assessment import Assessment
from triage.reports import REPORTS, build_products, fhir
from triage.reports.reporting import Reporting

LIMIT = 6.0  #: times the fixed piece of work
SEVEN = 7  #: findings in the shipped findings file


def seven_flagged() -> Assessment:
    """Return an assessment with seven flagged findings, the slowest usual case."""
    base = all_flagged()
    answers = (
        flagged(
            replace(
                base.answers[0], finding=replace(FINDINGS[n % len(FINDINGS)], id=f"finding_{n}")
            ),
            0.4,
            0.3,
            base,
        )
        for n in range(SEVEN)
    )
    return replace(base, answers=tuple(answers))


def build_all(source: Reporting) -> None:
    products = [*build_products(source, REPORTS), fhir.build(source)]
    assert len(products) == len(REPORTS) + 3  # FHIR, and the report in two older SOP classes


def test_all_products_of_one_study_are_built_in_time() -> None:
    source = reporting(seven_flagged())
    assert measure_ratio(lambda: build_all(source)) < LIMIT
