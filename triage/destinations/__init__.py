"""Where products go. A new kind of destination is one new file here and one line in KINDS."""

from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

from triage.destinations.commitment import opened
from triage.destinations.dicom import DicomStore
from triage.destinations.folder import Folder
from triage.destinations.mllp import Mllp
from triage.destinations.stow import WebStore
from triage.destinations.webhook import Webhook
from triage.ports import Destination


class Kind(NamedTuple):
    """What is known of destinations of a kind before one is opened, and how that is done."""

    media_types: Collection[str]  #: what they take
    opened: Callable[[str, Any], Destination]  #: arguments: our AE title, its settings


#: By the `kind` of a configured destination.
KINDS: Mapping[str, Kind] = {
    "dicom": Kind(DicomStore.media_types, opened),
    "folder": Kind(Folder.media_types, Folder),
    "webhook": Kind(Webhook.media_types, Webhook),
    "mllp": Kind(Mllp.media_types, Mllp),
    "stow": Kind(WebStore.media_types, WebStore),
}
