"""Open associations as SCU, and the socket options and ciphers that all associations use.

`open_association` is the only place that calls `AE.associate`. It raises one of these, and the
message names the peer and what to check:

    AssociationFailed
    ├── HostUnknown          the host name does not resolve or is not a valid name
    ├── AssociationRejected  A-ASSOCIATE-RJ with result, source and reason (PS3.8 9.3.4)
    ├── NoAnswer             no connection, no answer in time, an A-ABORT, or TLS failed
    └── NoContextAccepted    no proposed presentation context, or not the required one, is accepted
"""

import socket
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pydicom import Dataset
from pydicom.uid import UID
from pynetdicom import AE, build_role, evt
from pynetdicom.association import Association
from pynetdicom.dsutils import encode

from triage.dimse.pynetdicom_internals import install_checkpoint, read_answer

#: TLS 1.2 cipher suites: the forward-secret AEAD suites of RFC 9325 4.2 (PS3.15 B.12).
TLS12_CIPHER_SUITES = (
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
)
CONTEXTS_MAX = 128  #: presentation context IDs are odd numbers from 1 to 255 (PS3.8 9.3.2.2)
ACCEPTED = 0  #: result of an A-ASSOCIATE-AC (PS3.8 9.3.3)
REJECTED_PERMANENT = 1  #: result of an A-ASSOCIATE-RJ (PS3.8 9.3.4)
PDU_BYTES = 16_382  #: maximum length that pynetdicom announces by default (PS3.8 D.1)

#: A SOP class and the transfer syntaxes to propose for it; none: the default ones of pynetdicom.
ProposedContext = tuple[str, Sequence[UID | str]]


@dataclass(frozen=True)
class RemoteEntity:
    """The application entity to call, and the AE title that calls it."""

    host: str
    port: int
    ae_title: str
    calling_ae: str
    timeout_s: float = 30.0  #: for the connection, the negotiation and each response

    def __str__(self) -> str:
        return f"{self.ae_title} at {self.host}:{self.port}"


class AssociationFailed(Exception):
    """The association was not opened; the message names the peer and the reason."""


class HostUnknown(AssociationFailed):
    """The host name does not resolve, or is not a valid name."""


class AssociationRejected(AssociationFailed):
    """The peer rejected the association (A-ASSOCIATE-RJ, PS3.8 9.3.4)."""

    def __init__(self, peer: RemoteEntity, primitive: Any) -> None:
        self.result = int(primitive.result)
        self.source = int(primitive.result_source)
        self.reason = int(primitive.diagnostic)
        super().__init__(f"{peer} rejected the association: {primitive.reason_str}")

    @property
    def is_permanent(self) -> bool:
        """True if the peer states that another attempt will be rejected as well."""
        return self.result == REJECTED_PERMANENT


class NoAnswer(AssociationFailed):
    """The peer did not accept or reject the association."""


class NoContextAccepted(AssociationFailed):
    """The peer accepts none of the proposed SOP classes, or not the one that is required."""


@contextmanager
def open_association(  # noqa: PLR0913 - each argument is one of AE.associate
    peer: RemoteEntity,
    contexts: Sequence[ProposedContext],
    *,
    required: str | None = None,
    scp_roles: Collection[str] = (),
    handlers: Sequence[Any] = (),
    pdu_bytes: int = PDU_BYTES,
    tls_args: Any = None,
) -> Iterator[Association]:
    """Open an association and release it when the block ends.

    `required` is a SOP class that the peer must accept. For the SOP classes of `scp_roles` the SCP
    role is proposed (PS3.7 D.3.3.4). `pdu_bytes` is the longest PDU that we receive. `tls_args` are
    those of `AE.associate`.

    Raises:
        AssociationFailed: one of its subclasses; see the module.
    """
    ae = _application_entity(peer, contexts)
    try:
        association = ae.associate(
            peer.host,
            peer.port,
            ae_title=peer.ae_title,
            max_pdu=pdu_bytes,
            ext_neg=[build_role(UID(sop_class), scp_role=True) for sop_class in scp_roles],
            tls_args=tls_args,
            evt_handlers=[CONNECTION_SETUP, *handlers],
        )
    except OSError as error:  # from the name lookup alone: pynetdicom keeps other errors to itself
        raise HostUnknown(f"{peer.host}: {error.strerror}") from None
    except UnicodeError:
        raise HostUnknown(f"{peer.host} is not a valid host name") from None
    try:
        _check(association, peer, required or "")
        yield association
    finally:
        if association.is_established:
            association.release()


def _application_entity(peer: RemoteEntity, contexts: Sequence[ProposedContext]) -> AE:
    ae = AE(ae_title=peer.calling_ae)
    for sop_class, syntaxes in contexts:
        ae.add_requested_context(UID(sop_class), [*syntaxes] or None)
    ae.connection_timeout = ae.acse_timeout = peer.timeout_s
    ae.dimse_timeout = ae.network_timeout = peer.timeout_s
    return ae


def _check(association: Association, peer: RemoteEntity, required: str) -> None:
    """Raise AssociationFailed unless the association is open and has the required context."""
    answer = read_answer(association)
    if answer is None:
        raise NoAnswer(f"{peer} does not answer; is it running, and are host and port right?")
    if answer.result != ACCEPTED:
        raise AssociationRejected(peer, answer)
    accepted = {context.abstract_syntax for context in association.accepted_contexts}
    if not accepted or (required and required not in accepted):
        raise NoContextAccepted(f"{peer} accepts none of the proposed SOP classes")
    if not association.is_established:
        raise NoAnswer(f"{peer} ended the association at once")


def encode_identifier(identifier: Dataset) -> bytes:
    """Return a query identifier encoded in Implicit VR Little Endian."""
    return encode(identifier, is_implicit_vr=True, is_little_endian=True) or b""


def set_up_connection(event: evt.Event) -> None:
    """Send small packets at once and receive responses reliably; bind it to EVT_CONN_OPEN.

    Waiting for a fuller packet makes C-STORE 50 times slower (measured with DCMTK and pynetdicom).
    """
    association: Any = event.assoc
    connection: Any = association.dul.socket
    if connection is not None and connection.socket is not None:
        connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if association.is_requestor:  # its reader thread has not started
        install_checkpoint(association)


#: Event handler for `open_association` and `start_server`.
CONNECTION_SETUP = (evt.EVT_CONN_OPEN, set_up_connection)
