"""The declaration of a kind of destination: everything the program and its documents need."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, get_args

from triage.config import DestinationSettings
from triage.ports.destination import Destination


@dataclass(frozen=True)
class DestinationType:
    """One kind of destination."""

    settings: type[DestinationSettings]  #: the model of its entry in `destinations`
    open: Callable[[str, Any], Destination]  #: arguments: our AE title, its settings
    media_types: Collection[str]  #: media types that it takes
    protocol: str  #: its protocol, for deploy/CONFORMANCE.md
    delivered_when: str  #: when a product counts as delivered, for deploy/CONFORMANCE.md
    example: str  #: its entry in deploy/triage.yaml, with comments

    @property
    def kind(self) -> str:
        """The value of `kind` in the settings."""
        (kind,) = get_args(self.settings.model_fields["kind"].annotation)
        return str(kind)
