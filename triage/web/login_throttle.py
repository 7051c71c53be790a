"""Slows down password guessing: several failures cause a wait, longer each time.

During a wait no password is checked, neither right nor wrong; otherwise an attacker that ignores
the error responses would not be slowed down.
"""

from collections import OrderedDict
from dataclasses import dataclass

from triage.domain.errors import TriageError
from triage.ports.clock import Clock

FREE = 4  #: failures without a wait
LONGEST_S = 900.0
DOUBLINGS = 10  #: of one second; exceeds the longest wait
FORGOTTEN_S = 3600.0  #: failures are forgotten so long after their wait has ended
MOST = 10_000  #: entries; the oldest are dropped

LoginKey = tuple[str, str]  #: user name and network address of a login


class LoginDelayed(TriageError):
    """Too many failed logins."""

    def __init__(self, seconds: int) -> None:
        super().__init__(f"too many wrong passwords: try again in {seconds} s")
        self.seconds = seconds  #: until the next password is checked


@dataclass
class LoginFailures:
    """The failed logins of one user name and address."""

    count: int = 0
    until: float = 0.0  #: end of the wait, seconds since the epoch


class LoginThrottle:
    """Failed logins by user name and address, in memory. Not thread-safe."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failures: OrderedDict[LoginKey, LoginFailures] = OrderedDict()

    def wait_s(self, key: LoginKey) -> float:
        """Return the remaining wait in seconds, 0 if there is none."""
        failures = self._failures.get(key)
        return max(0.0, failures.until - self._clock.now()) if failures else 0.0

    def count_failure(self, key: LoginKey) -> None:
        """Count a failed login."""
        now = self._clock.now()
        failures = self._failures.pop(key, LoginFailures())
        if failures.until + FORGOTTEN_S < now:
            failures = LoginFailures()
        failures.count += 1
        failures.until = now + _pause_s(failures.count)
        self._failures[key] = failures
        if len(self._failures) > MOST:
            self._failures.popitem(last=False)

    def reset(self, key: LoginKey) -> None:
        """Forget the failures after a successful login."""
        self._failures.pop(key, None)


def _pause_s(failures: int) -> float:
    """Return the wait after so many failures: 1 s, 2 s, 4 s, ... up to the longest."""
    if failures <= FREE:
        return 0.0
    return min(LONGEST_S, 2.0 ** min(failures - FREE - 1, DOUBLINGS))
