"""All products of one study are built in time.

Measured is the median processor time of several runs, which does not depend on other programs; no
builder waits for a network or a disk.
"""

from dataclasses import replace
from statistics import median
from time import process_time

from tests.builders.assessments import FINDINGS
from tests.builders.reportings import all_flagged, flagged, reporting
from triage.domain.assessment import Assessment
from triage.reports import REPORTS, build_products, fhir
from triage.reports.reporting import Reporting

LIMIT_S = 0.3
REPEATS = 7
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


def taken_s(source: Reporting) -> float:
    started = process_time()
    products = [*build_products(source, REPORTS), fhir.build(source)]
    assert len(products) == len(REPORTS) + 3  # FHIR, and the report in two older SOP classes
    return process_time() - started


def test_all_products_of_one_study_are_built_in_time() -> None:
    source = reporting(seven_flagged())
    taken_s(source)  # the first build loads the tables of libraries
    times = [taken_s(source) for _ in range(REPEATS)]
    assert median(times) < LIMIT_S, [f"{1000 * time:.0f} ms" for time in times]
