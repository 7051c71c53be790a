import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from pynetdicom import AE, evt
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    MRImageStorage,
    StorageCommitmentPushModel,
    Verification,
)

from tests.waiting import HOST
from triage.cli.demo_site import find_free_port
from triage.dimse.association import (
    AssociationRejected,
    HostUnknown,
    NoAnswer,
    NoContextAccepted,
    ProposedContext,
    RemoteEntity,
    open_association,
)
from triage.dimse.pynetdicom_internals import ReactorCheckpoint

pytestmark = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"  # pynetdicom leaves its socket open
)


@contextmanager
def listening(**settings: Any) -> Iterator[RemoteEntity]:
    """Run a Verification SCP; yield what calls it."""
    ae, port = AE(ae_title="PACS"), find_free_port()
    ae.add_supported_context(Verification)
    ae.add_supported_context(StorageCommitmentPushModel, scu_role=True, scp_role=True)
    for name, value in settings.items():
        setattr(ae, name, value)
    server: Any = ae.start_server((HOST, port), block=False)
    try:
        yield RemoteEntity(HOST, port, "PACS", "CMRTRIAGE", 5)
    finally:
        server.shutdown()


def test_a_rejection_counts_although_the_connection_closes_before_it_was_seen_to_be_open() -> None:
    opened = []

    def delay(event: evt.Event) -> None:
        connection: Any = event.assoc.dul.socket
        opened.append(connection._ready)
        connection._ready = threading.Event()  # pynetdicom sets this one; the caller waits

    def go_on(_: evt.Event) -> None:
        opened[0].set()

    late = [(evt.EVT_CONN_OPEN, delay), (evt.EVT_CONN_CLOSE, go_on)]
    with (
        listening(require_calling_aet=["OTHER"]) as peer,
        pytest.raises(AssociationRejected, match="Calling AE title"),
        open_association(peer, [(Verification, [])], handlers=late),
    ):
        pass


def test_an_open_association_is_released_when_the_block_ends() -> None:
    with listening() as peer:
        with open_association(peer, [(Verification, [])]) as association:
            assert isinstance(association._reactor_checkpoint, ReactorCheckpoint)
            assert [association.send_c_echo().Status for _ in range(20)] == [0] * 20
        assert association.is_released


def test_the_scp_role_is_proposed() -> None:
    contexts: list[ProposedContext] = [(StorageCommitmentPushModel, [])]
    roles = [StorageCommitmentPushModel]
    with listening() as peer, open_association(peer, contexts, scp_roles=roles) as association:
        (context,) = association.accepted_contexts
        assert context.as_scp


def test_a_host_name_that_does_not_resolve_is_unknown() -> None:
    for host in ("no-such-host.invalid", "a" * 64 + ".example"):
        peer = RemoteEntity(host, 104, "PACS", "CMRTRIAGE", 5)
        with pytest.raises(HostUnknown, match=host), open_association(peer, [(Verification, [])]):
            pass


def test_a_rejection_has_its_result_source_and_reason() -> None:
    with (
        listening(require_calling_aet=["OTHER"]) as peer,
        pytest.raises(AssociationRejected, match="PACS at .* rejected .*: Calling AE title") as at,
        open_association(peer, [(Verification, [])]),
    ):
        pass
    assert (at.value.result, at.value.source, at.value.reason) == (1, 1, 3)
    assert at.value.is_permanent


def test_a_port_without_listener_gives_no_answer() -> None:
    peer = RemoteEntity(HOST, find_free_port(), "PACS", "CMRTRIAGE", 1)
    with (
        pytest.raises(NoAnswer, match="PACS at .* does not answer; is it running"),
        open_association(peer, [(Verification, [])]),
    ):
        pass


def test_a_silent_peer_gives_no_answer() -> None:
    with socket.create_server((HOST, 0)) as silent:
        peer = RemoteEntity(HOST, silent.getsockname()[1], "PACS", "CMRTRIAGE", 0.2)
        with pytest.raises(NoAnswer), open_association(peer, [(Verification, [])]):
            pass


def test_a_peer_that_accepts_no_context_is_an_error() -> None:
    with (
        listening() as peer,
        pytest.raises(NoContextAccepted),
        open_association(peer, [(MRImageStorage, [])]),
    ):
        pass


def test_a_peer_that_does_not_accept_the_required_context_is_an_error() -> None:
    contexts: list[ProposedContext] = [(MRImageStorage, []), (Verification, [])]
    with listening() as peer:
        with open_association(peer, contexts, required=Verification) as association:
            assert association.is_established
        with (
            pytest.raises(NoContextAccepted),
            open_association(peer, contexts, required=MRImageStorage),
        ):
            pass
