"""The metrics as Prometheus scrapes them: what this process counted, and what the ledger says now.

Rule: one endpoint, that of the receiving process. Workers count nothing of their own: what they do
stands in the ledger, which is read at each scrape, so that no process has to be asked that may just
have died. A ledger or broker that does not answer shows as such, and what it would say is left out:
a number that is not known is not 0.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import structlog
from prometheus_client import start_http_server
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from triage.config import MetricsEndpoint
from triage.domain.delivery import DeliveryState
from triage.domain.errors import BrokerUnavailable, ConfigurationError, LedgerUnavailable
from triage.domain.study import State
from triage.pipeline.backpressure import Backpressure
from triage.ports.clock import Clock
from triage.ports.ledger import Ledger
from triage.ports.queue import Queue
from triage.telemetry.metrics import Metrics

log = structlog.get_logger(__name__)

QUEUES = ("assess", "deliver")


@dataclass(frozen=True, eq=False)
class Gauges(Collector):
    """Reads how things stand, when it is asked."""

    ledger: Ledger
    queue: Queue
    pressure: Backpressure
    clock: Clock
    destinations: Sequence[str] = ()  #: the names of those that are configured

    def collect(self) -> Iterator[Metric]:
        """Yield every gauge."""
        yield from self._of_pressure()
        yield from self._of_ledger()
        yield from self._of_broker()

    def _of_pressure(self) -> Iterator[Metric]:
        load = self.pressure.load()
        if load.free_bytes is not None:
            yield _build_gauge(
                "triage_free_bytes", "Free on the disk of the spool.", load.free_bytes
            )
        yield _build_labelled_gauge(
            "triage_held_back",
            "1 while instances are answered 0xA700 for want of this.",
            "limit",
            {
                "free_bytes": load.is_full,
                "waiting_studies": load.is_busy,
                "spool": bool(load.spool_error),
            },
        )

    def _of_ledger(self) -> Iterator[Metric]:
        try:
            census, outages = self.ledger.get_census(), self.ledger.list_outages()
        except LedgerUnavailable:
            yield _build_gauge("triage_ledger_up", "1 if the ledger answers.", 0)
            return
        yield _build_gauge("triage_ledger_up", "1 if the ledger answers.", 1)
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
        since, now = census.waiting_since, self.clock.now()
        silent_s = {each.destination: max(0.0, now - each.since) for each in outages}
        yield _build_labelled_gauge(
            "triage_destination_silent_seconds",
            "Since a destination does not answer; 0 while it does, or is not asked.",
            "destination",
            {name: silent_s.get(name, 0.0) for name in self.destinations},
        )
        yield _build_gauge(
            "triage_oldest_waiting_seconds",
            "Since the last instance of the complete study that waits longest for a worker.",
            0 if since is None else max(0.0, now - since),
        )

    def _of_broker(self) -> Iterator[Metric]:
        try:
            waiting = {name: self.queue.count_waiting(name) for name in QUEUES}
        except BrokerUnavailable:
            yield _build_gauge("triage_broker_up", "1 if the broker answers.", 0)
            return
        yield _build_gauge("triage_broker_up", "1 if the broker answers.", 1)
        yield _build_labelled_gauge(
            "triage_queue_tasks", "Tasks that wait in a queue.", "queue", waiting
        )


def serve_metrics(
    settings: MetricsEndpoint, metrics: Metrics, gauges: Gauges
) -> Callable[[], None]:
    """Answer scrapes in threads of their own, where a port is set; return what ends it."""
    if settings.port is None:
        return lambda: None
    metrics.registry.register(gauges)
    try:
        server, thread = start_http_server(settings.port, settings.host, metrics.registry)
    except OSError as error:
        raise ConfigurationError(
            f"cannot listen on {settings.host}:{settings.port}: {error.strerror}; "
            "set metrics.host and metrics.port"
        ) from None
    log.info("metrics", host=settings.host, port=settings.port)

    def end() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return end


def _build_gauge(name: str, says: str, value: float) -> Metric:
    return GaugeMetricFamily(name, says, value)


def _build_labelled_gauge(name: str, says: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(name, says, labels=[label])
    for each, value in values.items():
        family.add_metric([each], value)
    return family
