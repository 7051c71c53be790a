"""A limit on how often an archive is asked.

The limit holds between one beginning and the next and does not accumulate: after a pause no
requests are caught up, so there is never a burst. A receiver that waits here slows its sender down.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from triage.ports.clock import Clock

Sleep = Callable[[float], None]  #: seconds


@dataclass
class RateLimit:
    """At most `per_s` turns a second."""

    per_s: float | None  #: None: no limit
    clock: Clock
    sleep: Sleep = time.sleep
    _next: float = field(default=0.0, init=False)

    def wait(self) -> None:
        """Wait for the next turn and take it."""
        if self.per_s is None:
            return
        every_s = 1 / self.per_s
        # At most one turn, because the clock may have been set back.
        if (ahead := min(self._next - self.clock.now(), every_s)) > 0:
            self.sleep(ahead)
        self._next = self.clock.now() + every_s
