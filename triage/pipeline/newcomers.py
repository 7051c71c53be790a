"""Use case: the reports of a study for a destination that was configured after it was reported.

The destination gets the stored bytes. A message of a kind that was not made then is made from the
stored assessment and the headers of its images; no model runs. A DICOM report is not made here, as
its page shows pixels: `triage replay --reassess` makes one.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo

from pydicom import Dataset

from triage.dicom.header import read_header
from triage.domain.assessment import Assessment, Disclosure
from triage.domain.delivery import DICOM, Product, ReportedRevision
from triage.domain.errors import CommandFailed, DamagedInstance
from triage.pipeline.assess import AssessorLedger, read_summary
from triage.ports.clock import Clock
from triage.ports.spool import Spool
from triage.reports import REPORTS, build_products
from triage.reports.equipment import Equipment
from triage.reports.reporting import Reporting


@dataclass(frozen=True)
class NewcomerReports:
    """Finds or makes the reports for a destination that has none of a study."""

    ledger: AssessorLedger
    spool: Spool
    clock: Clock
    equipment: Equipment
    destinations: Mapping[str, Collection[str]]  #: accepted media types by destination
    reports: Sequence[str]  #: names in the report registry
    similar_cases: Disclosure = Disclosure.OPAQUE
    zone: tzinfo = UTC  #: time zone of the site, in which reports state their times

    def list_for(self, reported: ReportedRevision, destination: str) -> Sequence[Product]:
        """Return the stored products that a destination takes, and the messages that it lacks.

        Raises:
            CommandFailed: The images that a message needs are not in the spool.
        """
        taken = self.destinations[destination]
        stored = [
            product
            for product in reported.products
            if product.content and product.media_type in taken
        ]
        kinds = {product.kind for product in stored}
        lacking = [kind for kind in self.reports if kind not in kinds and _is_message(kind, taken)]
        return [*stored, *self._make(reported, lacking)] if lacking else stored

    def _make(self, reported: ReportedRevision, kinds: Sequence[str]) -> Sequence[Product]:
        summary = self.ledger.get_summary(reported.study_uid, reported.revision)
        if summary is None:
            return []
        assessment = read_summary(summary)
        evidence = self._read_evidence(reported, assessment)
        reporting = Reporting(
            assessment,
            evidence,
            self.equipment,
            replaced=reported.products,
            similar_cases=self.similar_cases,
            made_at=datetime.fromtimestamp(self.clock.now(), self.zone),
        )
        return list(build_products(reporting, kinds))

    def _read_evidence(self, reported: ReportedRevision, assessment: Assessment) -> list[Dataset]:
        """Return the headers of the images that were assessed."""
        assessed = {image.sop_instance_uid for view in assessment.used for image in view.images}
        headers: dict[str, Dataset] = {}
        for path in self.ledger.list_paths(reported.study_uid, reported.revision):
            try:
                header = read_header(self.spool.read(path))
            except (FileNotFoundError, DamagedInstance):
                continue  # it counts as missing, if it was assessed
            if header.SOPInstanceUID in assessed:
                headers.setdefault(str(header.SOPInstanceUID), header)
        if missing := assessed - {*headers}:
            raise CommandFailed(
                f"{len(missing)} images of {reported.study_uid} are not in the spool any more: "
                "send the study again from the PACS"
            )
        return list(headers.values())


def _is_message(kind: str, taken: Collection[str]) -> bool:
    media_type = REPORTS[kind].media_type
    return media_type != DICOM and media_type in taken
