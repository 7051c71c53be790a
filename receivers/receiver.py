"""The interface between the registry and a receiver."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from triage.config import Settings
from triage.pipeline.intake import Intake
from triage.pipeline.storage_commitment_scp import CommitmentScp
from triage.pipeline.storage_commitment_scu import CommitmentScu
from triage.ports.announcements import Announcements
from triage.ports.outcomes import Outcomes


class RunningReceiver(Protocol):
    """A receiver that has been started."""

    def is_alive(self) -> bool:
        """Return whether it still receives; a defect may have ended its thread."""

    def end(self) -> None:
        """Stop receiving and end the threads; senders keep what was not acknowledged."""


@dataclass(frozen=True)
class ReceiverServices:
    """The parts of the program that receivers use. None: the service is not offered."""

    settings: Settings
    intake: Intake
    commitment_scp: CommitmentScp | None = None
    commitment_scu: CommitmentScu | None = None
    announcements: Announcements | None = None
    outcomes: Outcomes | None = None


@dataclass(frozen=True)
class ReceiverKind:
    """A line of the registry."""

    name: str
    settings_key: str  #: path of its settings, e.g. "receiver.stow"; null there: not started
    #: Starts it with the settings of its key and returns when it receives.
    #: Raises ConfigurationError if that is not possible.
    start: Callable[[ReceiverServices, Any], RunningReceiver]
