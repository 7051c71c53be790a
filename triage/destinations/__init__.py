"""Where products go. A new kind of destination is one new file here and one line in KINDS."""

from collections.abc import Callable, Mapping
from typing import Any

from triage.destinations.commitment import opened
from triage.destinations.folder import Folder
from triage.destinations.mllp import Mllp
from triage.destinations.stow import WebStore
from triage.destinations.webhook import Webhook
from triage.ports import Destination

#: How to open a configured destination, by its `kind`; arguments: our AE title, its settings.
KINDS: Mapping[str, Callable[[str, Any], Destination]] = {
    "dicom": opened,
    "folder": Folder,
    "webhook": Webhook,
    "mllp": Mllp,
    "stow": WebStore,
}
