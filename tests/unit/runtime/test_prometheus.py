"""The gauges of a scrape, without a running site."""

import socket
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.contract.ledgers import assessed, assessing, ready, received
from tests.fakes import FakeClock, FakeQueue
from triage.config import MetricsEndpoint
from triage.domain.errors import ConfigurationError, LedgerUnavailable
from triage.pipeline.backpressure import Backpressure, BackpressureLimits
from triage.runtime.prometheus import Gauges, serve_metrics
from triage.store.ledger import SqlLedger
from triage.store.spool import FileSpool
from triage.telemetry.metrics import Metrics

Values = dict[tuple[str, ...], float]


@dataclass
class Scrape:
    """Gauges, and their values when called."""

    gauges: Gauges

    def __call__(self) -> Values:
        return {
            (sample.name, *sample.labels.values()): sample.value
            for metric in self.gauges.collect()
            for sample in metric.samples
        }


@pytest.fixture
def scrape(tmp_path: Path, ledger: SqlLedger, queue: FakeQueue, clock: FakeClock) -> Scrape:
    limits = BackpressureLimits(free_bytes=1 << 62, waiting_studies=10)
    pressure = Backpressure(FileSpool(tmp_path), ledger, limits)
    return Scrape(Gauges(ledger, queue, pressure, clock))


def test_studies_by_state_and_the_longest_wait(
    scrape: Scrape, ledger: SqlLedger, clock: FakeClock
) -> None:
    ready(ledger, "oldest")
    clock.pass_s(60)
    ready(ledger, "next")
    received(ledger, "arriving")
    assessing(ledger, "taken")
    clock.pass_s(40)
    values = scrape()
    assert values["triage_studies", "READY"] == 2
    assert values["triage_studies", "RECEIVING"] == 1
    assert values["triage_studies", "ASSESSING"] == 1
    assert values["triage_studies", "FAILED"] == 0
    assert values["triage_oldest_waiting_seconds",] == 100


def test_seconds_since_a_destination_stopped_answering(
    scrape: Scrape, ledger: SqlLedger, clock: FakeClock
) -> None:
    _, (delivery, _) = assessed(ledger, "pacs", "ris")
    scrape.gauges = replace(scrape.gauges, destinations=["pacs", "ris"])
    assert ledger.claim_delivery(delivery, 30)
    ledger.record_failure(delivery, "no answer", 5, unreachable=True)
    clock.pass_s(60)
    values = scrape()
    assert values["triage_destination_silent_seconds", "pacs"] == 60
    assert values["triage_destination_silent_seconds", "ris"] == 0


def test_the_limit_that_refuses_instances(scrape: Scrape) -> None:
    values = scrape()
    assert values["triage_held_back", "free_bytes"] == 1
    assert values["triage_held_back", "waiting_studies"] == 0


def test_unknown_values_are_left_out(
    scrape: Scrape, ledger: SqlLedger, queue: FakeQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away() -> None:
        raise LedgerUnavailable("busy")

    monkeypatch.setattr(ledger, "get_census", away)
    queue.down = True
    names = {name for name, *_ in scrape()}
    assert names == {
        "triage_free_bytes",
        "triage_held_back",
        "triage_ledger_up",
        "triage_broker_up",
    }


def test_a_port_in_use_is_an_error_that_names_the_settings(scrape: Scrape) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        endpoint = MetricsEndpoint(port=taken.getsockname()[1])
        with pytest.raises(ConfigurationError, match="end it, or set metrics.port"):
            serve_metrics(endpoint, Metrics(), scrape.gauges, dict)
