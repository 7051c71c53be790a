"""Use case: report incidents that a peer may cause again and again.

The first incident of its kind, detail and source is written to the ledger at once. Repetitions are
counted in memory and written together by `flush`, which the receiver calls once a second; the
ledger counts them on one row a day. One address, or one /64 of IPv6, gets at most `REASONS_MAX`
rows of its own, so a port scan that tries every AE title, or that comes from every address of its
subnet, cannot fill the ledger; the rest is counted on one more row. Files in quarantine have a row
each, up to `FILES_MAX` for an address or network.
"""

import threading
from collections import OrderedDict
from typing import TypeVar

import structlog

from triage.domain.audit import (
    NOT_KNOWN,
    AuditEvent,
    AuditPeer,
    NoAuditTrail,
    build_login_event,
    build_rejection_event,
)
from triage.domain.errors import LedgerUnavailable
from triage.domain.incident import Incident, IncidentKind
from triage.domain.instance import Source
from triage.domain.networks import single_peer
from triage.ports.audit import AuditTrail
from triage.ports.incidents import IncidentLedger

log = structlog.get_logger(__name__)

Item = TypeVar("Item")

REASONS_MAX = 10  #: rows of one address
FILES_MAX = 100  #: rows of one address for files in quarantine
NETWORKS_MAX = 1000  #: addresses and networks whose incidents are remembered
MORE = "many other AE titles and reasons"  #: detail of the row for all further incidents

MORE_FILES = "many other refused instances; the newest are in quarantine"  #: likewise


class IncidentReporter:
    """Reports incidents to a ledger and the audit trail. Thread-safe."""

    def __init__(self, ledger: IncidentLedger, audit: AuditTrail | None = None) -> None:
        self._ledger = ledger
        self._audit = audit or NoAuditTrail()
        self._lock = threading.Lock()
        #: Repetitions that are not written yet; 0 for an incident without any.
        self._unwritten: dict[Incident, int] = {}
        self._by_network: OrderedDict[str, set[Incident]] = OrderedDict()
        self._files_by_network: OrderedDict[str, set[str]] = OrderedDict()

    def report(self, incident: Incident) -> None:
        """Write a new incident at once; count a repeated one for the next `flush`."""
        with self._lock:
            incident = self._limit_rows(incident)
            is_new = incident not in self._unwritten
            self._unwritten[incident] = self._unwritten.get(incident, -1) + 1
        if is_new:
            self._write(incident, 1)
            log.warning(
                incident.kind, detail=incident.detail, calling_ae=incident.source.calling_ae
            )

    def report_file(self, incident: Incident, path: str) -> None:
        """Write an incident about a file in quarantine, on one row a day for each file.

        Raises LedgerUnavailable.
        """
        network = single_peer(incident.source.address)
        with self._lock:
            known = _remember(self._files_by_network, network)
            is_listed = path in known or len(known) < FILES_MAX
            if is_listed:
                known.add(path)
        if not is_listed:
            self.report(Incident(incident.kind, MORE_FILES, Source("", network)))
            return
        kind, detail, source = incident.kind, incident.detail, incident.source
        self._ledger.report_repeated(kind, detail, source, path=path)
        log.warning(kind, detail=detail, calling_ae=source.calling_ae, path=path)

    def flush(self) -> None:
        """Write the counted repetitions, and forget incidents without any since the last call."""
        with self._lock:
            counted = {found: times for found, times in self._unwritten.items() if times}
            self._unwritten = dict.fromkeys(counted, 0)
        for incident, times in counted.items():
            self._write(incident, times)

    def _limit_rows(self, incident: Incident) -> Incident:
        """Return the incident, or the common one of an address or network that has too many."""
        network = single_peer(incident.source.address)
        known = _remember(self._by_network, network)
        if incident not in known and len(known) >= REASONS_MAX:
            return Incident(incident.kind, MORE, Source("", network))
        known.add(incident)
        return incident

    def _write(self, incident: Incident, times: int) -> None:
        if incident.kind is IncidentKind.REJECTED_ASSOCIATION:
            self._audit.record(_build_audit_event(incident, times))
        try:
            self._ledger.report_repeated(incident.kind, incident.detail, incident.source, times)
        except LedgerUnavailable as error:  # the peer stays rejected without the row
            log.exception("incident not stored", exc_info=error)


def _remember(by_network: OrderedDict[str, set[Item]], network: str) -> set[Item]:
    """Return what is known of a network; forget the network that was silent for longest."""
    known = by_network.setdefault(network, set())
    by_network.move_to_end(network)
    if len(by_network) > NETWORKS_MAX:
        by_network.popitem(last=False)
    return known


def _build_audit_event(incident: Incident, times: int) -> AuditEvent:
    """Return one audit event for one or more equal rejections."""
    detail = f"{incident.detail} ({times} times)" if times > 1 else incident.detail
    title, address = incident.source.calling_ae, incident.source.address
    if incident.is_login:
        return build_login_event(title or NOT_KNOWN, address, detail)
    return build_rejection_event(AuditPeer(title, address, ae_title=title), detail)
