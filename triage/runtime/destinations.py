"""Opens the configured destinations."""

from collections.abc import Collection, Mapping

from triage.config import Settings
from triage.destinations import DESTINATIONS
from triage.domain.audit import AuditPeer
from triage.domain.negotiation import Offer
from triage.ports.destination import Destination
from triage.reports import REPORTS


def open_destinations(settings: Settings) -> dict[str, Destination]:
    """Return the configured destinations by name; they are not connected yet."""
    our_ae = settings.receiver.ae_title
    return {d.name: DESTINATIONS[d.kind].open(our_ae, d) for d in settings.destinations}


def list_offers(settings: Settings) -> list[Offer]:
    """Return the DICOM reports of a site with the SOP classes in which they are sent."""
    return [
        Offer(name, classes) for name in settings.reports for classes in REPORTS[name].sop_classes
    ]


def media_types(settings: Settings) -> Mapping[str, Collection[str]]:
    """Return the media types that each configured destination takes, by its name."""
    return {d.name: DESTINATIONS[d.kind].media_types for d in settings.destinations}


def audit_peers(settings: Settings) -> dict[str, AuditPeer]:
    """Return each configured destination as audit messages name it, by its name."""
    return {d.name: d.audit_peer() for d in settings.destinations}
