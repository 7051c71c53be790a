"""The time."""

from typing import Protocol


class Clock(Protocol):
    """The time."""

    def now(self) -> float:
        """Return the seconds since the epoch."""
