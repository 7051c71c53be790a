"""Content items of a Structured Report (PS3.3 C.17.3), one function per value type.

Containers are SEPARATE, because viewers drop the concept names of CONTINUOUS containers, and
"Absent" without its question is misleading. The template classes of highdicom are not used: they
write CONTINUOUS containers, and support neither the algorithm of a container nor the qualitative
evaluations of a report.
"""

from collections.abc import Sequence

from highdicom.sr import (
    CodeContentItem,
    ContainerContentItem,
    ContentItem,
    ContentSequence,
    ImageContentItem,
    NumContentItem,
    TextContentItem,
    UIDRefContentItem,
)
from pydicom.sr.coding import Code as Concept
from pydicom.uid import UID

from triage.domain.assessment import SourceImage
from triage.reports import identity

CONTAINS = "CONTAINS"
MODIFIER = "HAS CONCEPT MOD"
CONTEXT = "HAS OBS CONTEXT"
ACQUISITION = "HAS ACQ CONTEXT"
#: Placeholder for items without a concept name, which highdicom requires; never written.
UNNAMED = Concept("UNNAMED", "99NONE", "no name")


def container(
    name: Concept,
    items: Sequence[ContentItem],
    relationship: str | None = CONTAINS,
    template: str | None = None,
) -> ContainerContentItem:
    """Return a CONTAINER; the root of a document has no relationship."""
    item = ContainerContentItem(
        name, is_content_continuous=False, template_id=template, relationship_type=relationship
    )
    item.ContentSequence = ContentSequence(items)
    for child in items:
        if child.name == UNNAMED:
            del child.ConceptNameCodeSequence
    return item


def code(name: Concept, value: Concept, relationship: str = CONTAINS) -> ContentItem:
    """Return a CODE: a question and its answer."""
    return CodeContentItem(name, value, relationship)


def text(name: Concept, value: str, relationship: str = CONTAINS) -> ContentItem:
    """Return a one-line TEXT; "(not stated)" if empty, because Text Value is Type 1."""
    return TextContentItem(name, one_line(value) or "(not stated)", relationship)


def uidref(name: Concept, value: str, relationship: str = CONTAINS) -> ContentItem:
    """Return a UIDREF."""
    return UIDRefContentItem(name, value, relationship)


def number(name: Concept, value: float, unit: Concept) -> ContentItem:
    """Return a NUM."""
    rounded = round(float(value), identity.DECIMALS)
    return NumContentItem(name, rounded, unit, relationship_type=CONTAINS)


def image(
    name: Concept | None, source: SourceImage, frames: Sequence[int] | None = None
) -> ContentItem:
    """Return an IMAGE; without a concept name if `name` is None.

    `frames` is the frames of a multi-frame image; empty: the whole image; None: the frame that
    `source` names, if any.
    """
    if frames is None:
        frames = [] if source.frame is None else [source.frame]
    return ImageContentItem(
        name or UNNAMED,
        source.sop_class_uid,
        source.sop_instance_uid,
        referenced_frame_numbers=list(frames) or None,
        relationship_type=CONTAINS,
    )


def is_readable(source: SourceImage) -> bool:
    """Return whether a reference to an image may be in the content tree.

    DCMTK rejects the whole document if a UID in the tree has leading zeros, which some scanners
    write. In the evidence sequences such a UID does no harm.
    """
    return UID(source.sop_instance_uid).is_valid and UID(source.sop_class_uid).is_valid


def one_line(value: str) -> str:
    """Return `value` in one line, without control characters, which viewers render as junk."""
    return " ".join("".join(c if c.isprintable() else " " for c in value).split())
