"""How long the reports, the page and the messages take: run with `make bench`."""

from collections.abc import Callable
from time import perf_counter, process_time

from tests.builders.reportings import KINDS
from triage.domain.delivery import Product
from triage.reports import REPORTS, build_products, fhir
from triage.reports.reporting import Reporting

REPEATS = 10
KINDS_TIMED = ("usual", "all_flagged", "japanese_name", "forty_findings")


def of_kind(kind: str) -> Callable[[Reporting], list[Product]]:
    return lambda reporting: list(build_products(reporting, [kind]))


#: With its older forms, where a report has them.
MADE: dict[str, Callable[[Reporting], object]] = {
    **{kind: of_kind(kind) for kind in REPORTS},
    fhir.KIND: fhir.build,
}


def test_everything_that_is_made_of_one_study() -> None:
    for kind in KINDS_TIMED:
        reporting, taken = KINDS[kind](), []
        for name, build in MADE.items():
            times, busy = [], []
            for _ in range(REPEATS):
                started, worked = perf_counter(), process_time()
                build(reporting)
                times.append(1000 * (perf_counter() - started))
                busy.append(1000 * (process_time() - worked))
            taken.append((name, min(times), min(busy), times[0]))
        each = ", ".join(f"{name} {best:.0f}" for name, best, _, _ in taken)
        best = sum(row[1] for row in taken)
        worked = sum(row[2] for row in taken)
        first = sum(row[3] for row in taken)
        print(
            f"{kind}: {best:.0f} ms, {worked:.0f} of them processor (first {first:.0f} ms): {each}"
        )
