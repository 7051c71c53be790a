"""How long the page, its companions and the messages take: run with `make bench`."""

from time import perf_counter

from tests.builders.reportings import KINDS
from triage.reports import fhir, hl7, pdf, secondary_capture

REPEATS = 10
KINDS_TIMED = ("usual", "all_flagged", "japanese_name", "forty_findings")


def test_everything_that_people_see_of_one_study() -> None:
    for kind in KINDS_TIMED:
        reporting, taken = KINDS[kind](), []
        for module in (pdf, secondary_capture, hl7, fhir):
            times = []
            for _ in range(REPEATS):
                started = perf_counter()
                module.build(reporting)
                times.append(1000 * (perf_counter() - started))
            taken.append((module.KIND, min(times), times[0]))
        each = ", ".join(f"{name} {best:.0f}" for name, best, _ in taken)
        best, first = (sum(row[n] for row in taken) for n in (1, 2))
        print(f"{kind}: {best:.0f} ms (first {first:.0f} ms): {each}")  # noqa: T201 - its purpose
