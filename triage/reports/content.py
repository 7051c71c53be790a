"""Content items of a Structured Report (PS3.3 C.17.3), one function per value type.

Rule: a container is SEPARATE. Readers drop the concept names of CONTINUOUS ones, and what is left
of "Absent" without its question is a lie. The template classes of highdicom are left aside: they
write CONTINUOUS, and have no place for the algorithm of a container or for a report's evaluations.
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

from triage.domain.assessment import SourceImage

CONTAINS = "CONTAINS"
MODIFIER = "HAS CONCEPT MOD"
CONTEXT = "HAS OBS CONTEXT"


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
    return item


def code(name: Concept, value: Concept, relationship: str = CONTAINS) -> ContentItem:
    """Return a CODE: a question and its answer."""
    return CodeContentItem(name, value, relationship)


def text(name: Concept, value: str, relationship: str = CONTAINS) -> ContentItem:
    """Return a TEXT in one line; an empty one says so, since Text Value is Type 1."""
    return TextContentItem(name, plain(value) or "(not stated)", relationship)


def uidref(name: Concept, value: str, relationship: str = CONTAINS) -> ContentItem:
    """Return a UIDREF."""
    return UIDRefContentItem(name, value, relationship)


def number(name: Concept, value: float, unit: Concept) -> ContentItem:
    """Return a NUM. Six decimals are all that single precision holds of a number near one."""
    return NumContentItem(name, round(float(value), 6), unit, relationship_type=CONTAINS)


def image(name: Concept, source: SourceImage, frames: Sequence[int]) -> ContentItem:
    """Return an IMAGE; `frames` are those of a multi-frame image, and empty for any other."""
    return ImageContentItem(
        name,
        source.sop_class_uid,
        source.sop_instance_uid,
        referenced_frame_numbers=list(frames) or None,
        relationship_type=CONTAINS,
    )


def plain(value: str) -> str:
    """Return `value` without line breaks and control characters, which readers show as junk."""
    return " ".join("".join(c if c.isprintable() else " " for c in value).split())
