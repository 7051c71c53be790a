"""Counters of the receiving process, for Prometheus (https://prometheus.io/docs/instrumenting).

No label identifies a peer or a patient: no AE title, address or UID, and no value from a data set.
Each label has a handful of values that are known in advance, because a peer that could choose a
label's value could create any number of time series. Counters start at zero with the process, as
Prometheus expects. Figures that must survive a restart are in the ledger, which
`triage.runtime.prometheus` reads at each scrape.

A new metric also needs a new deploy/METRICS.md (`python -m tests.builders.generated_documents`).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

from prometheus_client import CollectorRegistry, Counter, Histogram

from triage.domain.incident import RejectionReason
from triage.domain.instance import ReceiptOutcome
from triage.domain.outcome import ReportResult

#: Seconds, from a fast solid-state disk to a disk that is in trouble.
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """Counters of one process in their own registry. Thread-safe."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        self._register_associations(registry)
        self._register_instances(registry)
        self._reports = Counter(
            "triage_reports",
            "Radiologists' reports received over HL7, by what became of them.",
            ["result"],
            registry=registry,
        )
        for result in ReportResult:
            self._reports.labels(result)
        self._reports_refused = Counter(
            "triage_report_messages_refused",
            "HL7 messages that were not accepted (AE, AR, or no acknowledgement).",
            registry=registry,
        )

    def _register_associations(self, registry: CollectorRegistry) -> None:
        """Register the counters of associations, each label value at 0."""
        self._accepted = Counter(
            "triage_associations_accepted", "Associations accepted.", registry=registry
        )
        self._rejected = Counter(
            "triage_associations_rejected",
            "Associations, connections and TLS handshakes rejected or ended.",
            ["reason"],
            registry=registry,
        )
        for reason in RejectionReason:
            self._rejected.labels(reason)

    def _register_instances(self, registry: CollectorRegistry) -> None:
        """Register the counters of instances, each label value at 0."""
        self._instances = Counter(
            "triage_instances",
            "Instances stored: new, duplicate (nothing changed), conflict (new content, old UID).",
            ["outcome"],
            registry=registry,
        )
        self._refused = Counter(
            "triage_instances_refused",
            "Instances refused, by the DIMSE status that the sender received.",
            ["status"],
            registry=registry,
        )
        self._bytes = Counter(
            "triage_received_bytes", "Bytes of the instances stored.", registry=registry
        )
        self._seconds = Histogram(
            "triage_receive_seconds",
            "Time from the last byte of an instance until it is durable and recorded.",
            buckets=BUCKETS,
            registry=registry,
        )
        self._quarantine_removed = Counter(
            "triage_quarantine_removed",
            "Refused files removed from quarantine, oldest first, because it was full.",
            registry=registry,
        )
        for outcome in ReceiptOutcome:
            self._instances.labels(outcome)

    def count_association(self) -> None:
        """Count an accepted association."""
        self._accepted.inc()

    def count_rejection(self, why: RejectionReason) -> None:
        """Count a rejected association or connection."""
        self._rejected.labels(why).inc()

    def count_instance(self, outcome: ReceiptOutcome, size: int) -> None:
        """Count a stored instance of `size` bytes."""
        self._instances.labels(outcome).inc()
        self._bytes.inc(size)

    def count_refusal(self, status: str) -> None:
        """Count an instance that was answered with a status other than success."""
        self._refused.labels(status).inc()

    def count_report(self, result: ReportResult) -> None:
        """Count a report of an acknowledged HL7 message."""
        self._reports.labels(result).inc()

    def count_refused_message(self) -> None:
        """Count an HL7 message that was not accepted."""
        self._reports_refused.inc()

    def count_quarantine_removal(self, files: int) -> None:
        """Count files that were removed from a full quarantine."""
        self._quarantine_removed.inc(files)

    @contextmanager
    def time_receipt(self) -> Iterator[None]:
        """Observe the duration of the block if it ends without an error."""
        began = perf_counter()
        yield
        self._seconds.observe(perf_counter() - began)
