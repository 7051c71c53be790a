"""The receivers of this program. To add one, add its package and one line here."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from operator import attrgetter

from receivers import c_store, folder, stow
from receivers.receiver import ReceiverKind, ReceiverServices

#: In the order in which they are started; they are ended in reverse.
RECEIVERS: tuple[ReceiverKind, ...] = (
    c_store.RECEIVER,
    stow.RECEIVER,
    folder.RECEIVER,
)


@contextmanager
def run_receivers(services: ReceiverServices) -> Iterator[None]:
    """Run every receiver that is configured until the block ends."""
    with ExitStack() as running:
        for kind in RECEIVERS:
            settings = attrgetter(kind.settings_key)(services.settings)
            if settings is not None:
                running.callback(kind.start(services, settings).end)
        yield
