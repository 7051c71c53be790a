"""How fast an archive is asked.

Rule: a limit holds from one beginning to the next, without saving up: after a pause nothing is
caught up. So there is never a burst, and a receiver that waits for its turn slows its sender down.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from triage.ports.clock import Clock

Sleep = Callable[[float], None]  #: seconds


@dataclass
class RateLimit:
    """No more than so many a second."""

    per_s: float | None  #: None: as many as may be
    clock: Clock
    sleep: Sleep = time.sleep
    _next: float = field(default=0.0, init=False)

    def wait(self) -> None:
        """Wait for a turn, and take it."""
        if self.per_s is None:
            return
        every_s = 1 / self.per_s
        # No longer than one turn: the clock may have been set back.
        if (ahead := min(self._next - self.clock.now(), every_s)) > 0:
            self.sleep(ahead)
        self._next = self.clock.now() + every_s
