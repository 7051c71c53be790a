"""What the audit trail is told of studies: that they came, where reports went, that they went.

Rule: an event is told of before the ledger has it, so a crash in between tells it again and never
leaves it out. The patient's ID is read from the study's first instance; where that cannot be read
the message goes without, and the study goes on.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import structlog

from triage.dicom.header import read_patient_id
from triage.domain import audit
from triage.domain.audit import AuditedStudyObject, AuditOutcome, AuditPeer
from triage.domain.delivery import Delivery, Product
from triage.domain.errors import SpoolUnavailable
from triage.domain.study import StudyRevision
from triage.ports.audit import AuditTrail
from triage.ports.ledger import Ledger
from triage.ports.spool import Spool

log = structlog.get_logger(__name__)

ANY_REVISION = 2**31 - 1


@dataclass(frozen=True)
class DeliveryTrail:
    """What is told of one attempt to deliver a product."""

    audit: AuditTrail
    study_uid: str
    patient_id: str
    destination: AuditPeer
    is_first: bool  #: of the attempts

    def record_sending(self, product: Product) -> None:
        """Tell that a product is about to be sent; of further attempts nothing is told."""
        if self.is_first and self.destination.is_dicom:
            self.audit.record(audit.build_sending_event(self._study(product), self.destination))

    def record_sent(self, product: Product) -> None:
        """Tell that a product was acknowledged."""
        self.audit.record(audit.build_transfer_event(self._study(product), self.destination))

    def record_given_up(self, product: Product, why: str) -> None:
        """Tell that a product will not be sent."""
        event = audit.build_transfer_event(
            self._study(product), self.destination, AuditOutcome.SERIOUS, why
        )
        self.audit.record(event)

    def _study(self, product: Product) -> AuditedStudyObject:
        counted = {product.sop_class_uid: 1} if product.sop_class_uid else {}
        return AuditedStudyObject(self.study_uid, self.patient_id, counted)


#: Where no trail is kept.
NO_TRAIL = DeliveryTrail(audit.NoAuditTrail(), "", "", AuditPeer(""), is_first=False)


@dataclass(frozen=True)
class StudyTrail:
    """Everything that is needed to tell of studies."""

    audit: AuditTrail
    ledger: Ledger
    spool: Spool
    destinations: Mapping[str, AuditPeer]  #: by their names in the settings

    def record_received(self, study: StudyRevision) -> None:
        """Tell what came of a revision, a message for each sender. Raises LedgerUnavailable."""
        patient_id = self._patient_id(study.study_uid, study.revision)
        for source, counted in self.ledger.count_arrivals(study.study_uid, study.revision).items():
            sender = AuditPeer(source.calling_ae, source.address, ae_title=source.calling_ae)
            told = AuditedStudyObject(study.study_uid, patient_id, counted)
            self.audit.record(audit.build_receipt_event(told, sender))

    def record_removal(self, study_uid: str) -> None:
        """Tell that the images of a study go. Raises LedgerUnavailable."""
        patient_id = self._patient_id(study_uid, ANY_REVISION)
        self.audit.record(audit.build_deletion_event(AuditedStudyObject(study_uid, patient_id)))

    def for_delivery(self, delivery: Delivery) -> DeliveryTrail:
        """Return what is told of an attempt to deliver. Raises LedgerUnavailable."""
        name = delivery.destination
        return DeliveryTrail(
            self.audit,
            delivery.study_uid,
            self._patient_id(delivery.study_uid, delivery.revision),
            self.destinations.get(name, AuditPeer(name)),
            is_first=delivery.attempts <= 1,
        )

    def _patient_id(self, study_uid: str, revision: int) -> str:
        paths = self.ledger.list_paths(study_uid, revision)
        try:
            return read_patient_id(self.spool.read(paths[0])) if paths else ""
        except (OSError, SpoolUnavailable) as error:
            log.warning("audit message without patient", study_uid=study_uid, error=str(error))
            return ""
