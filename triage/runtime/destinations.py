"""Opens the configured destinations."""

from collections.abc import Collection, Mapping

from triage.config import Settings
from triage.destinations import DESTINATIONS
from triage.domain.audit import AuditPeer
from triage.ports.destination import Destination


def open_destinations(settings: Settings) -> dict[str, Destination]:
    """Return the configured destinations by name; they are not connected yet."""
    our_ae = settings.receiver.ae_title
    return {d.name: DESTINATIONS[d.kind].open(our_ae, d) for d in settings.destinations}


def media_types(settings: Settings) -> Mapping[str, Collection[str]]:
    """Return the media types that each configured destination takes, by its name."""
    return {d.name: DESTINATIONS[d.kind].media_types for d in settings.destinations}


def audit_peers(settings: Settings) -> dict[str, AuditPeer]:
    """Return each configured destination as audit messages name it, by its name."""
    return {d.name: d.audit_peer() for d in settings.destinations}
