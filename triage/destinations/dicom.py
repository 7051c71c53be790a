"""A PACS that takes products over C-STORE (PS3.4 annex B).

Rule: one association an instance, its status judged; anything but Success or a storage warning is
a failure with the peer's own answer. Where a report exists in several SOP classes, an association
before that proposes them all, and the best that was accepted is the one to send.
"""

from collections.abc import Collection, Sequence
from io import BytesIO
from typing import Any

from pydicom import Dataset, dcmread
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

from triage.config import DicomDestination
from triage.destinations import dicom_tls
from triage.destinations.dicom_tls import TlsHandshake
from triage.dimse.association import AT_ONCE
from triage.dimse.statuses import in_words, is_stored
from triage.domain.delivery import Acknowledgement, Product
from triage.domain.errors import DeliveryFailed, DestinationUnreachable

SYNTAXES = [ExplicitVRLittleEndian, ImplicitVRLittleEndian]


class DicomStore:
    """See `ports.Destination`."""

    media_types: Collection[str] = ("application/dicom",)

    def __init__(self, calling_ae: str, settings: DicomDestination) -> None:
        self.name = settings.name
        self._calling_ae = calling_ae
        self.settings = settings
        self._tls = dicom_tls.context(settings.tls, self.name) if settings.tls else None

    def choose(self, offers: Sequence[Product]) -> Product:
        """Return the first product whose SOP class the PACS accepts."""
        association = self.associate(*(offer.sop_class_uid for offer in offers))
        accepted = {context.abstract_syntax for context in association.accepted_contexts}
        end(association)
        return next(offer for offer in offers if offer.sop_class_uid in accepted)

    def deliver(self, product: Product) -> Acknowledgement:
        """Store a product at the PACS."""
        association = self.associate(product.sop_class_uid)
        try:
            dataset = dcmread(BytesIO(product.content))
            return _judged(self._sent(association, dataset))
        finally:
            end(association)

    def echo(self) -> Acknowledgement:
        """Ask the PACS whether it is there (C-ECHO)."""
        association = self.associate(Verification)
        try:
            return _judged(association.send_c_echo())
        finally:
            end(association)

    def _sent(self, association: Association, dataset: Dataset) -> Dataset:
        try:
            return association.send_c_store(dataset)
        except ValueError as error:  # no accepted presentation context for this instance
            raise DeliveryFailed(f"{self.name}: {error}") from None

    def associate(self, *sop_class_uids: str, handlers: Sequence[Any] = ()) -> Association:
        """Return an open association that proposes SOP classes; raise DeliveryFailed otherwise."""
        settings = self.settings
        ae = AE(ae_title=self._calling_ae)
        for sop_class_uid in sop_class_uids:
            ae.add_requested_context(UID(sop_class_uid), SYNTAXES)
        ae.connection_timeout = ae.acse_timeout = settings.timeout_s
        ae.dimse_timeout = ae.network_timeout = settings.timeout_s
        handshake = TlsHandshake(self._tls) if self._tls else None
        try:
            association = ae.associate(
                settings.host,
                settings.port,
                ae_title=settings.ae_title,
                evt_handlers=[AT_ONCE, *handlers],
                tls_args=handshake.arguments(settings) if handshake else None,
            )
        except OSError as error:  # a host name that does not resolve
            raise DestinationUnreachable(f"{settings.host}: {error.strerror}") from None
        except UnicodeError:
            raise DestinationUnreachable(f"{settings.host} is no host name") from None
        if not association.is_established:
            if handshake and handshake.why:
                raise DestinationUnreachable(f"{self.peer} gives no answer, TLS: {handshake.why}")
            raise self._refusal(association, sop_class_uids)
        return association

    @property
    def peer(self) -> str:
        """Who it is, for people."""
        return f"{self.settings.ae_title} at {self.settings.host}:{self.settings.port}"

    def _refusal(self, association: Association, proposed: Sequence[str]) -> DeliveryFailed:
        peer = self.peer
        primitive = association.acceptor.primitive
        if association.is_rejected:
            reason = getattr(primitive, "reason_str", "no reason given")
            return DestinationUnreachable(f"{peer} rejected the association: {reason}")
        if not primitive:
            return DestinationUnreachable(
                f"{peer} does not answer; is it running, and is the port right?"
            )
        return DeliveryFailed(self._unaccepted(proposed))

    def _unaccepted(self, proposed: Sequence[str]) -> str:
        """Return what to do about an archive that accepts nothing of what was proposed."""
        names = " or ".join(UID(sop_class_uid).name for sop_class_uid in proposed)
        return f"{self.peer} accepts no {names}: have it accept that, or take it out of `reports`"


def _judged(response: Dataset) -> Acknowledgement:
    status = response.get("Status")
    if status is None:
        raise DeliveryFailed("the association broke before an answer came")
    answer = in_words(status)
    if not is_stored(status):
        raise DeliveryFailed(answer)
    return Acknowledgement(answer)


def end(association: Association) -> None:
    """Release an association, if it is there."""
    if association.is_established:
        association.release()
