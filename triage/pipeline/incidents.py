"""Incidents that come again and again: one row with a count, however often they are tried.

Rule: the first of a kind is told at once, what follows within a second or so together; a stranger
who tries every AE title there is gets a few rows and then one for the rest.
"""

import threading
from collections import OrderedDict

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
from triage.domain.instance import Source
from triage.ports.audit import AuditTrail
from triage.ports.ledger import Ledger

log = structlog.get_logger(__name__)

REASONS_MAX = 10  #: of one address that get a row of their own
ADDRESSES_MAX = 1000  #: whose reasons are remembered
REJECTED = "rejected association"  #: the kind that the audit trail is told of
OVER_HTTP = "STOW-RS: "  #: how it begins where no token or certificate was right
MORE = "many other AE titles and reasons"

Incident = tuple[str, str, Source]  #: kind, why, who


class IncidentReporter:
    """Reports to a ledger, from any thread."""

    def __init__(self, ledger: Ledger, audit: AuditTrail | None = None) -> None:
        self._ledger = ledger
        self._audit = audit or NoAuditTrail()
        self._lock = threading.Lock()
        self._untold: dict[Incident, int] = {}  # those just told stand here with 0
        self._reasons: OrderedDict[str, set[Incident]] = OrderedDict()

    def report(self, kind: str, why: str, source: Source) -> None:
        """Report at once what is new, and count what is not."""
        with self._lock:
            incident = self._kept_apart((kind, why, source))
            is_new = incident not in self._untold
            self._untold[incident] = self._untold.get(incident, -1) + 1
        if is_new:
            self._tell(incident, 1)
            log.warning(kind, detail=incident[1], calling_ae=incident[2].calling_ae)

    def flush(self) -> None:
        """Tell the ledger what was counted, and forget what has stopped."""
        with self._lock:
            counted = {each: times for each, times in self._untold.items() if times}
            self._untold = dict.fromkeys(counted, 0)
        for incident, times in counted.items():
            self._tell(incident, times)

    def _kept_apart(self, incident: Incident) -> Incident:
        """Return the incident, or where its address has too many that of all others."""
        kind, _, source = incident
        known = self._reasons.setdefault(source.address, set())
        self._reasons.move_to_end(source.address)
        if len(self._reasons) > ADDRESSES_MAX:
            self._reasons.popitem(last=False)
        if incident not in known and len(known) >= REASONS_MAX:
            return kind, MORE, Source("", source.address)
        known.add(incident)
        return incident

    def _tell(self, incident: Incident, times: int) -> None:
        if incident[0] == REJECTED:
            self._audit.record(_alert(incident, times))
        try:
            self._ledger.report_repeated(*incident, times)
        except LedgerUnavailable as error:  # whoever was turned away is, all the same
            log.exception("incident not kept", exc_info=error)


def _alert(incident: Incident, times: int) -> AuditEvent:
    """Return what the audit trail is told; of what came again and again one message."""
    _, why, source = incident
    often = f"{why} ({times} times)" if times > 1 else why
    if why.startswith(OVER_HTTP):
        return build_login_event(source.calling_ae or NOT_KNOWN, source.address, often)
    name = source.calling_ae
    return build_rejection_event(AuditPeer(name, source.address, ae_title=name), often)
