"""Which document a report is among those of its study: its UID, its number, what it replaces.

Rule: to say the same again is no revision. Where the latest document already says just this, in
this place of the line, it comes out again under its UID with its bytes; anything else is the next
document, under a UID of its own that hangs on the one it replaces. So a model that is changed and
changed back leaves three documents, and no UID ever stands for two.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from triage.domain.delivery import Product
from triage.reports import identity
from triage.reports.reporting import Reporting


@dataclass(frozen=True)
class DocumentVersion:
    """The place of a document in its line."""

    sop_instance_uid: str
    number: int  #: Instance Number, from 1
    replaces: Product | None


def next_version(
    reporting: Reporting,
    encoder_version: str,
    kind: str,
    sop_class_uid: str,
    *,
    by_class: bool = False,
) -> DocumentVersion:
    """Return where the report of `kind` on an assessment stands.

    Where the same is said in several SOP classes at once, there is a line `by_class`.
    """
    line = [
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

    if line and line[-1].sop_instance_uid == uid(line[:-1]):
        line = line[:-1]
    return DocumentVersion(uid(line), len(line) + 1, line[-1] if line else None)
