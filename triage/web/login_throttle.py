"""A brake on guessing: whoever fails often waits, ever longer.

Rule: while somebody waits, nothing that they say is looked at, be it right or wrong; or the brake
would only slow down those who read the answer.
"""

from collections import OrderedDict
from dataclasses import dataclass

from triage.ports.clock import Clock

FREE = 4  #: failures without a wait
LONGEST_S = 900.0
DOUBLINGS = 10  #: of a second, more than the longest wait
FORGOTTEN_S = 3600.0  #: a failure, after the wait that it brought
MOST = 10_000  #: kept; the oldest make room

LoginKey = tuple[str, str]  #: a name that was said, and the address it came from


@dataclass
class LoginFailures:
    """How often somebody has failed."""

    count: int = 0
    until: float = 0.0  #: the wait ends


class LoginThrottle:
    """Failures by who made them, in memory. Not safe for threads by itself."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failures: OrderedDict[LoginKey, LoginFailures] = OrderedDict()

    def wait_s(self, who: LoginKey) -> float:
        """Return how long somebody still has to wait; 0 if not at all."""
        known = self._failures.get(who)
        return max(0.0, known.until - self._clock.now()) if known else 0.0

    def failed(self, who: LoginKey) -> None:
        """Count a failure."""
        now = self._clock.now()
        known = self._failures.pop(who, LoginFailures())
        if known.until + FORGOTTEN_S < now:
            known = LoginFailures()
        known.count += 1
        known.until = now + _pause_s(known.count)
        self._failures[who] = known
        if len(self._failures) > MOST:
            self._failures.popitem(last=False)

    def succeeded(self, who: LoginKey) -> None:
        """Forget the failures of somebody who is who they say."""
        self._failures.pop(who, None)


def _pause_s(failures: int) -> float:
    """Return the wait after so many failures: 1 s, 2 s, 4 s, ... the longest."""
    if failures <= FREE:
        return 0.0
    return min(LONGEST_S, 2.0 ** min(failures - FREE - 1, DOUBLINGS))
