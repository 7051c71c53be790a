"""Everything that is made of one study, made in time.

Rule: what is timed is processor time, the median of several: how long the other programs of the
machine take is not our doing, and nothing here waits for a network or a disk.
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
SEVEN = 7  #: as many as the shipped findings file asks about


def seven_flagged() -> Assessment:
    """Every finding of a site's usual file flagged: nothing takes longer there."""
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


def taken_s(said: Reporting) -> float:
    started = process_time()
    made = [*build_products(said, REPORTS), fhir.build(said)]
    assert len(made) == len(REPORTS) + 3  # FHIR, and the report in two older forms
    return process_time() - started


def test_everything_of_one_study_is_built_in_time() -> None:
    said = reporting(seven_flagged())
    taken_s(said)  # the first time, libraries load their tables
    times = [taken_s(said) for _ in range(REPEATS)]
    assert median(times) < LIMIT_S, [f"{1000 * each:.0f} ms" for each in times]
