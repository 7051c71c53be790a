"""The clock of the system."""

import time


class SystemClock:
    """See `ports.Clock`."""

    def now(self) -> float:
        """Return the seconds since the epoch."""
        return time.time()
