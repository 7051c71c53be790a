"""The metrics endpoint: counters of the receiving process and gauges read at each scrape.

Only the receiving process has an endpoint. Workers count nothing: their work is recorded in the
ledger, which each scrape reads, so that no process has to be asked that may just have died. If the
ledger or the broker does not answer, `triage_ledger_up` or `triage_broker_up` is 0 and its gauges
are left out: an unknown number is not 0.

A new metric also needs a new deploy/METRICS.md (`python -m tests.builders.generated_documents`).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import structlog
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from triage.config import MetricsEndpoint
from triage.config.listening import metrics_address
from triage.domain.census import Census
from triage.domain.delivery import DeliveryState, Outage
from triage.domain.errors import BrokerUnavailable, LedgerUnavailable
from triage.domain.health import HungReason
from triage.domain.study import State
from triage.pipeline.backpressure import Backpressure
from triage.ports.clock import Clock
from triage.ports.ledger import Ledger
from triage.ports.queue import Queue
from triage.runtime.http_endpoint import Readiness, serve_endpoint
from triage.telemetry.metrics import Metrics

log = structlog.get_logger(__name__)

QUEUES = ("assess", "deliver")


@dataclass(frozen=True, eq=False)
class Gauges(Collector):
    """Gauges of back-pressure, ledger and broker, read at each scrape."""

    ledger: Ledger
    queue: Queue
    pressure: Backpressure
    clock: Clock
    destinations: Sequence[str] = ()  #: names of the configured destinations

    def collect(self) -> Iterator[Metric]:
        """Yield every gauge that can be read."""
        yield from self._collect_backpressure()
        yield from self._collect_ledger()
        yield from self._collect_broker()

    def _collect_backpressure(self) -> Iterator[Metric]:
        load = self.pressure.load()
        if load.free_bytes is not None:
            yield _build_gauge(
                "triage_free_bytes", "Free bytes on the disk of the spool.", load.free_bytes
            )
        yield _build_labelled_gauge(
            "triage_held_back",
            "1 while instances are refused with 0xA700 because of this limit.",
            "limit",
            {
                "free_bytes": load.is_full,
                "waiting_studies": load.is_busy,
                "spool": bool(load.spool_error),
            },
        )

    def _collect_ledger(self) -> Iterator[Metric]:
        try:
            census, outages = self.ledger.get_census(), self.ledger.list_outages()
        except LedgerUnavailable:
            yield _build_gauge("triage_ledger_up", "1 if the ledger answers.", 0)
            return
        yield _build_gauge("triage_ledger_up", "1 if the ledger answers.", 1)
        yield from self._describe_census(census)
        yield self._describe_outages(outages)

    def _describe_census(self, census: Census) -> Iterator[Metric]:
        yield _build_labelled_gauge(
            "triage_studies",
            "Revisions of studies by state.",
            "state",
            {str(state): census.studies.get(state, 0) for state in State},
        )
        yield _build_labelled_gauge(
            "triage_deliveries",
            "Deliveries by state.",
            "state",
            {str(state): census.deliveries.get(state, 0) for state in DeliveryState},
        )
        yield _build_labelled_gauge(
            "triage_processes_killed",
            "Processes of `triage serve` that were killed because they hung; retention removes the "
            "records.",
            "reason",
            {str(reason): census.killed.get(reason, 0) for reason in HungReason},
        )
        since = census.waiting_since
        yield _build_gauge(
            "triage_oldest_waiting_seconds",
            "Seconds since the last instance of the study that has waited longest for a worker.",
            0 if since is None else max(0.0, self.clock.now() - since),
        )

    def _describe_outages(self, outages: Sequence[Outage]) -> Metric:
        now = self.clock.now()
        silent_s = {outage.destination: max(0.0, now - outage.since) for outage in outages}
        return _build_labelled_gauge(
            "triage_destination_silent_seconds",
            "Seconds since a destination stopped answering; 0 if it answers or was not contacted.",
            "destination",
            {name: silent_s.get(name, 0.0) for name in self.destinations},
        )

    def _collect_broker(self) -> Iterator[Metric]:
        try:
            waiting = {name: self.queue.count_waiting(name) for name in QUEUES}
        except BrokerUnavailable:
            yield _build_gauge("triage_broker_up", "1 if the broker answers.", 0)
            return
        yield _build_gauge("triage_broker_up", "1 if the broker answers.", 1)
        yield _build_labelled_gauge(
            "triage_queue_tasks", "Tasks that wait in each queue.", "queue", waiting
        )


def serve_metrics(
    settings: MetricsEndpoint, metrics: Metrics, gauges: Gauges, readiness: Readiness
) -> Callable[[], None]:
    """Serve scrapes and probes in threads if a port is set; return a function that ends them."""
    address = metrics_address(settings)
    if address is None:
        return lambda: None
    metrics.registry.register(gauges)
    try:
        end = serve_endpoint(address.host, address.port, metrics.registry, readiness)
    except OSError as error:
        raise address.explain(error) from None
    log.info("serving metrics", host=settings.host, port=settings.port)
    return end


def _build_gauge(name: str, help_text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, help_text, value)


def _build_labelled_gauge(
    name: str, help_text: str, label: str, values: Mapping[str, float]
) -> Metric:
    family = GaugeMetricFamily(name, help_text, labels=[label])
    for label_value, value in values.items():
        family.add_metric([label_value], value)
    return family
