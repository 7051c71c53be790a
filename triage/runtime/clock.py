"""The system clock."""

import time


class SystemClock:
    """The time of day of this machine."""

    def now(self) -> float:
        """Return seconds since the epoch."""
        return time.time()
