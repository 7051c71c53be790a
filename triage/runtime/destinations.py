"""Opens the configured destinations."""

from collections.abc import Collection, Mapping

from triage.config import Settings
from triage.destinations import KINDS
from triage.ports.destination import Destination


def open_destinations(settings: Settings) -> dict[str, Destination]:
    """Return the configured destinations by name; nothing is connected yet."""
    ours = settings.receiver.ae_title
    return {each.name: KINDS[each.kind].opened(ours, each) for each in settings.destinations}


def media_types(settings: Settings) -> Mapping[str, Collection[str]]:
    """Return what the configured destinations take, by name; none is opened for it."""
    return {each.name: KINDS[each.kind].media_types for each in settings.destinations}
