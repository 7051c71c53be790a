"""Audit events about studies: received, sent, given up, removed.

An event is recorded before the ledger stores the change, so a crash in between repeats an event and
never loses one. The patient's ID is read from the study's first instance. If that cannot be read,
the event is recorded without it, and the study goes on.
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
from triage.ports.instances import InstanceLedger
from triage.ports.spool import Spool

log = structlog.get_logger(__name__)

ANY_REVISION = 2**31 - 1


@dataclass(frozen=True)
class DeliveryTrail:
    """Records the audit events of one attempt to deliver a product."""

    audit: AuditTrail
    study_uid: str
    patient_id: str
    destination: AuditPeer
    is_first: bool  #: whether this is the first attempt

    def record_sending(self, product: Product) -> None:
        """Record that a product is about to be sent over DICOM; only for the first attempt."""
        if self.is_first and self.destination.is_dicom:
            event = audit.build_sending_event(self._study(product), self.destination)
            self.audit.record(event)

    def record_sent(self, product: Product) -> None:
        """Record that a product was acknowledged."""
        self.audit.record(audit.build_transfer_event(self._study(product), self.destination))

    def record_given_up(self, product: Product, why: str) -> None:
        """Record that a product will not be sent."""
        study, outcome = self._study(product), AuditOutcome.SERIOUS
        self.audit.record(audit.build_transfer_event(study, self.destination, outcome, why))

    def _study(self, product: Product) -> AuditedStudyObject:
        counts = {product.sop_class_uid: 1} if product.sop_class_uid else {}
        return AuditedStudyObject(self.study_uid, self.patient_id, counts)


#: Used where no audit trail is configured.
NO_TRAIL = DeliveryTrail(audit.NoAuditTrail(), "", "", AuditPeer(""), is_first=False)


@dataclass(frozen=True)
class StudyTrail:
    """Records the audit events of studies."""

    audit: AuditTrail
    ledger: InstanceLedger
    spool: Spool
    destinations: Mapping[str, AuditPeer]  #: by their names in the settings

    def record_received(self, study: StudyRevision) -> None:
        """Record what a revision has received, an event for each sender.

        Raises LedgerUnavailable.
        """
        patient_id = self._read_patient_id(study.study_uid, study.revision)
        arrivals = self.ledger.count_arrivals(study.study_uid, study.revision)
        for source, counts in arrivals.items():
            sender = AuditPeer(source.calling_ae, source.address, ae_title=source.calling_ae)
            received = AuditedStudyObject(study.study_uid, patient_id, counts)
            self.audit.record(audit.build_receipt_event(received, sender))

    def record_removal(self, study_uid: str) -> None:
        """Record that the images of a study are removed. Raises LedgerUnavailable."""
        patient_id = self._read_patient_id(study_uid, ANY_REVISION)
        study = AuditedStudyObject(study_uid, patient_id)
        self.audit.record(audit.build_deletion_event(study))

    def for_delivery(self, delivery: Delivery) -> DeliveryTrail:
        """Return the trail of one attempt to deliver. Raises LedgerUnavailable."""
        name = delivery.destination
        return DeliveryTrail(
            self.audit,
            delivery.study_uid,
            self._read_patient_id(delivery.study_uid, delivery.revision),
            self.destinations.get(name, AuditPeer(name)),
            is_first=delivery.attempts <= 1,
        )

    def _read_patient_id(self, study_uid: str, revision: int) -> str:
        """Return the Patient ID of a study; empty if no image can be read."""
        paths = self.ledger.list_paths(study_uid, revision)
        try:
            return read_patient_id(self.spool.read(paths[0])) if paths else ""
        except (OSError, SpoolUnavailable) as error:
            log.warning("audit message without patient", study_uid=study_uid, error=str(error))
            return ""
