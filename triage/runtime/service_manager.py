"""Reports to systemd that the service is ready and alive (sd_notify(3)).

The address is that of NOTIFY_SOCKET, which systemd sets for a unit of Type=notify. Each report is
one datagram, and none is answered.
"""

import socket

import structlog

log = structlog.get_logger(__name__)

READY = "READY=1"  #: the process that listens reports this
ALIVE = "WATCHDOG=1"  #: the main process of the unit reports this
TIMEOUT_S = 1.0  #: a manager that reads no report must not hold up the heartbeat


class ServiceManager:
    """Sends reports to the service manager; without an address it sends none."""

    def __init__(self, address: str | None, *, is_watched: bool = True) -> None:
        # "@" replaces the NUL byte of an abstract address (sd_notify(3), NOTES).
        self._address = None if address is None else address.replace("@", "\0", 1)
        self._is_watched = is_watched  #: systemd expects reports of life from this process

    def notify(self, state: str) -> None:
        """Send a state; a failure is logged, because the service works without it."""
        if self._address is None or (state == ALIVE and not self._is_watched):
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as connection:
                connection.settimeout(TIMEOUT_S)
                connection.connect(self._address)
                connection.sendall(state.encode())
        except OSError as error:
            log.warning("the service manager was not notified", state=state, why=str(error))
