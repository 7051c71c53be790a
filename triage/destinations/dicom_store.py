"""A PACS that takes products over C-STORE (PS3.4 annex B).

Each instance has an association of its own. Success and the warnings of the storage service count
as stored; any other status is a failure, and its text is kept. If a report exists in several SOP
classes, a preceding association proposes all of them, and the best accepted form is sent.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from typing import Any, Literal

from pydantic import Field
from pydicom import Dataset, dcmread
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom.association import Association
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

from triage.config import DestinationSettings
from triage.config.fields import AeTitle, Port
from triage.destinations.dicom_tls import PacsTls, TlsHandshake, pacs_tls_context
from triage.destinations.tls_files import TlsChoice
from triage.dimse.association import (
    AssociationFailed,
    NoAnswer,
    NoContextAccepted,
    RemoteEntity,
    open_association,
)
from triage.dimse.statuses import describe_status, is_stored
from triage.domain.audit import AuditPeer
from triage.domain.delivery import DICOM, Acknowledgement, Product
from triage.domain.errors import DeliveryFailed, DestinationUnreachable
from triage.domain.negotiation import Negotiation, Offer

SYNTAXES = [ExplicitVRLittleEndian, ImplicitVRLittleEndian]


class DicomDestinationSettings(DestinationSettings, TlsChoice):
    """A PACS that takes products over C-STORE."""

    kind: Literal["dicom"] = "dicom"
    ae_title: AeTitle
    port: Port
    tls: PacsTls | None = None  #: None: no TLS
    commitment: bool = False  #: True: delivered only after storage commitment (PS3.4 J)
    #: seconds without a commitment report, after which it is requested again, then sent again
    commitment_within_s: float = Field(default=3600.0, gt=0, le=86_400)
    commitment_from: tuple[AeTitle, ...] = ()  #: calling AE titles of its reports, plus ae_title
    timeout_s: float = Field(default=30.0, gt=0, le=40)  #: to connect, and for each answer

    def audit_peer(self) -> AuditPeer:
        """Return the PACS by its AE title and host."""
        return AuditPeer(self.ae_title, self.host, ae_title=self.ae_title)

    def commitment_reporters(self) -> tuple[str, ...]:
        """Return the AE titles that may send its commitment reports; none: not requested."""
        return (self.ae_title, *self.commitment_from) if self.commitment else ()


class DicomDestination:
    """Stores products at a PACS; implements `Destination`."""

    media_types: Collection[str] = (DICOM,)
    services: Sequence[str] = ()  #: SOP classes that are asked for, beside those of the reports

    def __init__(self, calling_ae: str, settings: DicomDestinationSettings) -> None:
        self.name = settings.name
        self.settings = settings
        self.peer = RemoteEntity(
            settings.host, settings.port, settings.ae_title, calling_ae, settings.timeout_s
        )
        self._tls = pacs_tls_context(settings.tls, self.name) if settings.tls else None

    def choose(self, offers: Sequence[Product]) -> Product:
        """Return the first product with a SOP class that the PACS accepts."""
        with self.associated(*(offer.sop_class_uid for offer in offers)) as association:
            accepted = {context.abstract_syntax for context in association.accepted_contexts}
        return next(offer for offer in offers if offer.sop_class_uid in accepted)

    def deliver(self, product: Product) -> Acknowledgement:
        """Store a product at the PACS."""
        with self.associated(product.sop_class_uid) as association:
            dataset = dcmread(BytesIO(product.content))
            return _judge(self._send(association, dataset))

    def echo(self) -> Acknowledgement:
        """Verify the connection (C-ECHO)."""
        with self.associated(Verification) as association:
            return _judge(association.send_c_echo())

    def negotiate(self, offers: Sequence[Offer]) -> Negotiation:
        """Propose every SOP class that will be sent, and C-ECHO, on one association."""
        uids = [uid for offer in offers for uid in offer.sop_classes]
        with self.associated(Verification, *self.services, *dict.fromkeys(uids)) as association:
            taken = {context.abstract_syntax for context in association.accepted_contexts}
        best = {offer: next((u for u in offer.sop_classes if u in taken), "") for offer in offers}
        accepted = [f"{offer.report} as {UID(uid).name}" for offer, uid in best.items() if uid]
        refused = [
            f"{offer.report}: {self._describe_unaccepted(offer.sop_classes)}"
            for offer, uid in best.items()
            if not uid
        ]
        absent = [self._describe_unaccepted([uid]) for uid in self.services if uid not in taken]
        return Negotiation(tuple(accepted), (*refused, *absent))

    def _send(self, association: Association, dataset: Dataset) -> Dataset:
        try:
            return association.send_c_store(dataset)
        except ValueError as error:  # no accepted presentation context for this instance
            raise DeliveryFailed(f"{self.name}: {error}") from None

    @contextmanager
    def associated(
        self, *sop_class_uids: str, handlers: Sequence[Any] = ()
    ) -> Iterator[Association]:
        """Open an association that proposes these SOP classes; release it when the block ends.

        Raises:
            DestinationUnreachable: The PACS does not answer, or rejects the association.
            DeliveryFailed: The PACS accepts none of the SOP classes.
        """
        handshake = TlsHandshake(self._tls) if self._tls else None
        name = self.settings.tls.name if self.settings.tls else None
        try:
            with open_association(
                self.peer,
                [(uid, SYNTAXES) for uid in sop_class_uids],
                handlers=handlers,
                tls_args=(handshake, name or self.peer.host) if handshake else None,
            ) as association:
                yield association
        except NoContextAccepted:
            raise DeliveryFailed(self._describe_unaccepted(sop_class_uids)) from None
        except AssociationFailed as error:
            if isinstance(error, NoAnswer) and handshake and handshake.failure:
                error = NoAnswer(f"{self.peer} gives no answer, TLS: {handshake.failure}")
            raise DestinationUnreachable(str(error)) from None

    def _describe_unaccepted(self, proposed: Sequence[str]) -> str:
        """Return what to do about a PACS that accepts none of the proposed SOP classes."""
        names = " or ".join(UID(sop_class_uid).name for sop_class_uid in proposed)
        return (
            f"{self.peer} accepts no {names}: enable this SOP class there, or remove the report "
            "from `reports`"
        )


def _judge(response: Dataset) -> Acknowledgement:
    """Return the acknowledgement in a response; raise DeliveryFailed unless it is stored."""
    status = response.get("Status")
    if status is None:
        raise DeliveryFailed("the association ended before a response arrived")
    answer = describe_status(status)
    if not is_stored(status):
        raise DeliveryFailed(answer)
    return Acknowledgement(answer)
