"""What the receiving process counts, for Prometheus (https://prometheus.io/docs/instrumenting).

Rule: no label says who or what: no AE title, no address, no UID, nothing from a data set. Each has
a handful of values that are known before anything arrives, for whoever can choose a label's value
can make as many series as they like. Counters begin anew with the process, as Prometheus expects;
what must survive it stands in the ledger, from which `exposition` reads it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from time import perf_counter

from prometheus_client import CollectorRegistry, Counter, Histogram

from triage.domain.instance import ReceiptOutcome

#: Seconds, from a solid-state disk to one that is in trouble.
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class RejectionReason(StrEnum):
    """Why somebody was turned away, without saying whom."""

    CALLING = "calling AE title, address or certificate"
    CALLED = "called AE title"
    LIMIT = "too many associations"
    TLS = "TLS"
    CONNECTIONS = "too many connections"
    DEFECT = "defect"


class Metrics:
    """Counters of one process, in a registry of their own. Safe in any thread."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        self._accepted = Counter(
            "triage_associations_accepted", "Associations accepted.", registry=registry
        )
        self._turned_away = Counter(
            "triage_associations_rejected",
            "Associations and TLS handshakes turned away.",
            ["reason"],
            registry=registry,
        )
        self._instances = Counter(
            "triage_instances",
            "Instances kept: new, duplicate (nothing changed), conflict (set apart).",
            ["outcome"],
            registry=registry,
        )
        self._refused = Counter(
            "triage_instances_refused",
            "Instances refused, by the status that their sender was told.",
            ["status"],
            registry=registry,
        )
        self._bytes = Counter(
            "triage_received_bytes", "Bytes of the instances kept.", registry=registry
        )
        self._seconds = Histogram(
            "triage_receive_seconds",
            "From the last byte of an instance until it is durable and recorded.",
            buckets=BUCKETS,
            registry=registry,
        )
        for reason in RejectionReason:
            self._turned_away.labels(reason)
        for outcome in ReceiptOutcome:
            self._instances.labels(outcome)

    def count_association(self) -> None:
        """Count an association."""
        self._accepted.inc()

    def count_rejection(self, why: RejectionReason) -> None:
        """Count somebody who was not let in."""
        self._turned_away.labels(why).inc()

    def count_instance(self, outcome: ReceiptOutcome, size: int) -> None:
        """Count an instance of so many bytes."""
        self._instances.labels(outcome).inc()
        self._bytes.inc(size)

    def count_refusal(self, status: str) -> None:
        """Count an instance that was answered with another status than success."""
        self._refused.labels(status).inc()

    @contextmanager
    def time_receipt(self) -> Iterator[None]:
        """Observe how long the block takes, if it ends well."""
        began = perf_counter()
        yield
        self._seconds.observe(perf_counter() - began)
