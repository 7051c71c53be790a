"""Where products go. A new kind of destination is one new file here and one line in KINDS."""

from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

from triage.destinations.commitment import opened
from triage.destinations.dicom import DicomStore
from triage.destinations.folder import FolderStore
from triage.destinations.mllp import MllpSender
from triage.destinations.stow import WebStore
from triage.destinations.webhook import WebhookSender
from triage.ports.destination import Destination


class DestinationType(NamedTuple):
    """What is known of destinations of a kind before one is opened, and how that is done."""

    media_types: Collection[str]  #: what they take
    opened: Callable[[str, Any], Destination]  #: arguments: our AE title, its settings


#: By the `kind` of a configured destination.
KINDS: Mapping[str, DestinationType] = {
    "dicom": DestinationType(DicomStore.media_types, opened),
    "folder": DestinationType(FolderStore.media_types, FolderStore),
    "webhook": DestinationType(WebhookSender.media_types, WebhookSender),
    "mllp": DestinationType(MllpSender.media_types, MllpSender),
    "stow": DestinationType(WebStore.media_types, WebStore),
}
