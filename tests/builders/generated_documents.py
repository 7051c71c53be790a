"""Documents that are generated from the code: the commands and the metrics.

`python -m tests.builders.generated_documents` writes them to deploy/. A test compares the committed
files with the code (tests/unit/deploy/test_generated_documents.py).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import click
from prometheus_client.core import Metric

from tests.builders.reason_table import build_reasons_document
from tests.fakes import FakeClock, FakeQueue
from triage.__main__ import main
from triage.pipeline.backpressure import Backpressure, BackpressureLimits
from triage.runtime.prometheus import Gauges
from triage.store.ledger import SqlLedger
from triage.store.spool import FileSpool
from triage.telemetry.metrics import Metrics

DEPLOY = Path(__file__).parents[2] / "deploy"
WIDTH = 92  #: columns of the help texts
DESTINATION = "pacs"
#: Labels with values that a site or a peer determines.
OPEN_LABELS = {
    "destination": "the names in `destinations`",
    "status": "the DIMSE status, e.g. `0xA700`",
    "le": "seconds",
}

COMMANDS_HEAD = """\
# Commands

The help of every command, as `triage COMMAND --help` prints it. This page is generated from the
code: `python -m tests.builders.generated_documents`.
"""
METRICS_HEAD = """\
# Metrics

The metrics for Prometheus. Set `metrics.port` in the settings, and `metrics.host` if Prometheus
runs on another machine; then the receiving process answers at `http://HOST:PORT/metrics`. Workers
have no endpoint: their work is recorded in the ledger, which each scrape reads. No label identifies
a peer or a patient. This page is generated from the code:
`python -m tests.builders.generated_documents`.

"""
COUNTERS = """\
## Counters of the receiving process

They start at 0 when the process starts.
"""
GAUGES = """\
## Gauges of the site

They are read at each scrape. If the ledger or the broker does not answer, `triage_ledger_up` or
`triage_broker_up` is 0 and the gauges that come from it are missing: an unknown value is not 0.
"""


def build_commands_document() -> str:
    """Return deploy/COMMANDS.md."""
    root = click.Context(
        main,
        info_name="triage",
        terminal_width=WIDTH,
        **main.context_settings,
    )
    sections = [COMMANDS_HEAD]
    for name, help_text in _list_help(root, main, "triage"):
        sections.append(f"## {name}\n\n```text\n{help_text}\n```\n")
    return "\n".join(sections)


def _list_help(
    context: click.Context, command: click.Command, name: str
) -> Iterator[tuple[str, str]]:
    """Yield name and help of a command and of every command below it."""
    lines = command.get_help(context).splitlines()
    yield name, "\n".join(line.rstrip() for line in lines).strip()
    if isinstance(command, click.Group):
        for child_name in command.list_commands(context):
            child = command.get_command(context, child_name)
            assert child is not None
            child_context = click.Context(child, parent=context, info_name=child_name)
            yield from _list_help(child_context, child, f"{name} {child_name}")


def build_metrics_document() -> str:
    """Return deploy/METRICS.md."""
    counters = _build_table(Metrics().registry.collect())
    with TemporaryDirectory() as folder:
        clock = FakeClock()
        ledger = SqlLedger.in_folder(Path(folder), clock)
        limits = BackpressureLimits(free_bytes=1, waiting_studies=1)
        pressure = Backpressure(FileSpool(Path(folder)), ledger, limits)
        gauges = Gauges(ledger, FakeQueue(), pressure, clock, [DESTINATION])
        table = _build_table(gauges.collect())
        ledger.close()
    return f"{METRICS_HEAD}{COUNTERS}\n{counters}\n{GAUGES}\n{table}"


def _build_table(metrics: Iterable[Metric]) -> str:
    rows = ["| metric | type | labels | meaning |", "|---|---|---|---|"]
    for metric in metrics:
        name = f"{metric.name}_total" if metric.type == "counter" else metric.name
        labels = "; ".join(f"`{label}`: {values}" for label, values in _list_labels(metric).items())
        rows.append(f"| `{name}` | {metric.type} | {labels} | {metric.documentation} |")
    return "\n".join(rows) + "\n"


def _list_labels(metric: Metric) -> Mapping[str, str]:
    """Return the values of each label of a metric, or a description where they are open."""
    values: dict[str, dict[str, None]] = {}
    for sample in metric.samples:
        for label, value in sample.labels.items():
            values.setdefault(label, {})[f"`{value}`"] = None
    if metric.name == "triage_instances_refused":  # it has no samples before the first refusal
        values["status"] = {}
    return {label: OPEN_LABELS.get(label) or ", ".join(known) for label, known in values.items()}


DOCUMENTS: Mapping[str, Callable[[], str]] = {
    "REASONS.md": build_reasons_document,
    "COMMANDS.md": build_commands_document,
    "METRICS.md": build_metrics_document,
}


if __name__ == "__main__":
    for file_name, build in DOCUMENTS.items():
        (DEPLOY / file_name).write_text(build(), encoding="utf-8")
