"""The receivers of this program. To add one, add its package and one line here."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from operator import attrgetter

from receivers import c_store, folder, hl7, stow
from receivers.receiver import ReceiverKind, ReceiverServices, RunningReceiver

#: In the order in which they are started; they are ended in reverse.
RECEIVERS: tuple[ReceiverKind, ...] = (
    c_store.RECEIVER,
    stow.RECEIVER,
    folder.RECEIVER,
    hl7.RECEIVER,
)


@contextmanager
def run_receivers(services: ReceiverServices) -> Iterator[Callable[[], bool]]:
    """Run every configured receiver until the block ends; yield whether all still receive."""
    receivers: list[RunningReceiver] = []
    with ExitStack() as running:
        for kind in RECEIVERS:
            settings = attrgetter(kind.settings_key)(services.settings)
            if settings is not None:
                receivers.append(kind.start(services, settings))
                running.callback(receivers[-1].end)
        yield lambda: all(receiver.is_alive() for receiver in receivers)
