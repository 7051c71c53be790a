"""The version of a document: its UID, Instance Number, time, and the document that it replaces.

Identical content is no new version: if the latest document has the same content and the same
predecessor, it is built again with the same UID and the same bytes. Other content is a new document
with a new UID, which depends on the UID that it replaces. So a model that is changed and changed
back leaves three documents, and no UID ever has two contents.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from triage.domain.delivery import Product
from triage.reports import identity
from triage.reports.reporting import Reporting


@dataclass(frozen=True)
class DocumentVersion:
    """The version of a document among all of its kind on one study."""

    sop_instance_uid: str
    number: int  #: Instance Number, from 1
    replaces: Product | None  #: the previous document; None: this is the first
    made_at: datetime


def next_version(
    reporting: Reporting,
    encoder_version: str,
    kind: str,
    sop_class_uid: str,
    *,
    by_class: bool = False,
) -> DocumentVersion:
    """Return the version of the report of `kind` on an assessment.

    `by_class`: documents of each SOP class have their own versions, because the report is written
    in several SOP classes at once.
    """
    earlier = [
        product
        for product in reporting.replaced
        if product.kind == kind and (product.sop_class_uid == sop_class_uid or not by_class)
    ]

    def uid(before: Sequence[Product]) -> str:
        return identity.instance_uid(
            encoder_version,
            kind,
            sop_class_uid,
            reporting.equipment.device_uid,
            reporting.assessment,
            before[-1].sop_instance_uid if before else "",
        )

    if earlier and earlier[-1].sop_instance_uid == uid(earlier[:-1]):
        earlier = earlier[:-1]
    mine = uid(earlier)
    replaces = earlier[-1] if earlier else None
    return DocumentVersion(mine, len(earlier) + 1, replaces, reporting.made_at_of(mine))
