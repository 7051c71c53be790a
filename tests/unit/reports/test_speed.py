"""All products of one study are built in time.

Measured is processor time, as a multiple of that of a fixed piece of work beside it: a busy machine
slows both. No builder waits for a network or a disk. The median was 3.9 on two shared cores.
"""

from dataclasses import replace
from statistics import median
from time import process_time

from tests.builders.assessments import FINDINGS
from tests.builders.reportings import all_flagged, flagged, reporting
from triage.domain.assessment import Assessment
from triage.reports import REPORTS, build_products, fhir
from triage.reports.reporting import Reporting

LIMIT = 6.0  #: times the fixed piece of work, which takes 0.1 to 0.2 s
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


def fixed_work_s() -> float:
    started = process_time()
    sum(number * number for number in range(2_000_000))
    return process_time() - started


def test_all_products_of_one_study_are_built_in_time() -> None:
    source = reporting(seven_flagged())
    taken_s(source)  # the first build loads the tables of libraries
    ratios = [taken_s(source) / fixed_work_s() for _ in range(REPEATS)]
    assert median(ratios) < LIMIT, [f"{ratio:.1f}" for ratio in ratios]
