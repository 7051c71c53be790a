"""The number of descriptors (open files and connections) that the processes of a site may need.

Everything that needs one is bounded, so that the sum is known from the settings. The limit of the
system is checked at the start, because a process without descriptors can neither accept connections
nor open the ledger.
"""

import resource

from receivers.c_store.listener import EXTRA_CONNECTIONS, SILENT_CONNECTIONS_MAX
from receivers.hl7 import server as hl7_server
from receivers.stow.server import ADMITTED_MAX, build_limits
from triage.config import Settings
from triage.domain.errors import ConfigurationError
from triage.runtime.http_endpoint import LIMITS as METRICS_LIMITS
from triage.web.server import LIMITS as WEB_LIMITS

OF_ASSOCIATION = 2  #: its connection, and the staging file of its instance
#: Ledger, broker, audit, libraries, outgoing associations, files read by the reconciler.
OTHERS = 128


def count_receiving(settings: Settings) -> int:
    """Return how many descriptors the receiving process may need at once."""
    receiver = settings.receiver
    ports = 1 if receiver.tls is None else 2
    count = OTHERS + ports * SILENT_CONNECTIONS_MAX
    count += OF_ASSOCIATION * (receiver.associations + EXTRA_CONNECTIONS)
    if receiver.stow is not None:
        count += build_limits(receiver.artim_s).descriptors + ADMITTED_MAX
    if receiver.hl7 is not None:
        count += hl7_server.build_limits(receiver.hl7, receiver.artim_s).descriptors
    if settings.metrics.port is not None:
        count += METRICS_LIMITS.descriptors
    return count


def require_descriptors(settings: Settings) -> None:
    """Raise the limit of this process to what is needed; raise ConfigurationError if refused."""
    needed = max(count_receiving(settings), OTHERS + WEB_LIMITS.descriptors)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise ConfigurationError(
            f"with these settings a process may need {needed} open files and connections at once, "
            f"and the system allows {hard}: set LimitNOFILE={needed} in the unit, or `ulimit -n`, "
            "or lower receiver.associations"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
