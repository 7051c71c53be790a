"""A PACS that takes products over C-STORE (PS3.4 annex B).

Rule: one association an instance, its status judged; anything but Success or a storage warning is
a failure with the peer's own answer. Where a report exists in several SOP classes, an association
before that proposes them all, and the best that was accepted is the one to send.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from typing import Any

from pydicom import Dataset, dcmread
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom.association import Association
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

from triage.config import DicomDestination
from triage.destinations import dicom_tls
from triage.destinations.dicom_tls import TlsHandshake
from triage.dimse.association import (
    AssociationFailed,
    NoAnswer,
    NoContextAccepted,
    RemoteEntity,
    open_association,
)
from triage.dimse.statuses import describe_status, is_stored
from triage.domain.delivery import Acknowledgement, Product
from triage.domain.errors import DeliveryFailed, DestinationUnreachable

SYNTAXES = [ExplicitVRLittleEndian, ImplicitVRLittleEndian]


class DicomStore:
    """See `ports.Destination`."""

    media_types: Collection[str] = ("application/dicom",)

    def __init__(self, calling_ae: str, settings: DicomDestination) -> None:
        self.name = settings.name
        self.settings = settings
        self.peer = RemoteEntity(
            settings.host, settings.port, settings.ae_title, calling_ae, settings.timeout_s
        )
        self._tls = dicom_tls.context(settings.tls, self.name) if settings.tls else None

    def choose(self, offers: Sequence[Product]) -> Product:
        """Return the first product whose SOP class the PACS accepts."""
        with self.associated(*(offer.sop_class_uid for offer in offers)) as association:
            accepted = {context.abstract_syntax for context in association.accepted_contexts}
        return next(offer for offer in offers if offer.sop_class_uid in accepted)

    def deliver(self, product: Product) -> Acknowledgement:
        """Store a product at the PACS."""
        with self.associated(product.sop_class_uid) as association:
            dataset = dcmread(BytesIO(product.content))
            return _judged(self._sent(association, dataset))

    def echo(self) -> Acknowledgement:
        """Ask the PACS whether it is there (C-ECHO)."""
        with self.associated(Verification) as association:
            return _judged(association.send_c_echo())

    def _sent(self, association: Association, dataset: Dataset) -> Dataset:
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
            DestinationUnreachable: the PACS does not answer or rejects the association.
            DeliveryFailed: the PACS accepts none of the SOP classes.
        """
        handshake = TlsHandshake(self._tls) if self._tls else None
        try:
            with open_association(
                self.peer,
                [(uid, SYNTAXES) for uid in sop_class_uids],
                handlers=handlers,
                tls_args=handshake.arguments(self.settings) if handshake else None,
            ) as association:
                yield association
        except NoContextAccepted:
            raise DeliveryFailed(self._unaccepted(sop_class_uids)) from None
        except AssociationFailed as error:
            if isinstance(error, NoAnswer) and handshake and handshake.why:
                error = NoAnswer(f"{self.peer} gives no answer, TLS: {handshake.why}")
            raise DestinationUnreachable(str(error)) from None

    def _unaccepted(self, proposed: Sequence[str]) -> str:
        """Return what to do about an archive that accepts nothing of what was proposed."""
        names = " or ".join(UID(sop_class_uid).name for sop_class_uid in proposed)
        return f"{self.peer} accepts no {names}: have it accept that, or take it out of `reports`"


def _judged(response: Dataset) -> Acknowledgement:
    status = response.get("Status")
    if status is None:
        raise DeliveryFailed("the association broke before an answer came")
    answer = describe_status(status)
    if not is_stored(status):
        raise DeliveryFailed(answer)
    return Acknowledgement(answer)
