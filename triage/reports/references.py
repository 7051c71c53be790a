"""References to instances by study and series (PS3.3 C.17.2.3, Table C.17-3).

Every instance is referenced once, sorted by series and instance, so that all readers count the
same number of images.
"""

from collections.abc import Iterable, Sequence
from itertools import groupby
from operator import attrgetter

from pydicom import Dataset
from pydicom.sr.coding import Code as Concept

from triage.domain.assessment import SourceImage


def source_images(images: Iterable[Dataset]) -> list[SourceImage]:
    """Return the references to images, given their headers."""
    return [
        SourceImage(str(i.SOPClassUID), str(i.SOPInstanceUID), str(i.SeriesInstanceUID))
        for i in images
    ]


def study_item(study_uid: str, instances: Iterable[SourceImage]) -> Dataset:
    """Return an item that references instances of one study."""
    by_uid = {source.sop_instance_uid: source for source in instances}
    ordered = sorted(by_uid.values(), key=attrgetter("series_uid", "sop_instance_uid"))
    item = Dataset()
    item.ReferencedSeriesSequence = [
        _series(uid, list(group)) for uid, group in groupby(ordered, attrgetter("series_uid"))
    ]
    item.StudyInstanceUID = study_uid
    return item


def document_item(study_uid: str, source: SourceImage, purpose: Concept) -> Dataset:
    """Return an item that references a document with a purpose of reference."""
    item = study_item(study_uid, [source])
    (reference,) = item.ReferencedSeriesSequence[0].ReferencedSOPSequence
    reference.PurposeOfReferenceCodeSequence = [code_item(purpose)]
    return item


def instance_item(source: SourceImage) -> Dataset:
    """Return an item that references one instance (PS3.3 Table 10-11)."""
    item = Dataset()
    item.ReferencedSOPClassUID = source.sop_class_uid
    item.ReferencedSOPInstanceUID = source.sop_instance_uid
    return item


def code_item(concept: Concept) -> Dataset:
    """Return the item of a code sequence (PS3.3 section 8)."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = concept[:3]
    return item


def _series(series_uid: str, instances: Sequence[SourceImage]) -> Dataset:
    item = Dataset()
    item.ReferencedSOPSequence = [instance_item(source) for source in instances]
    item.SeriesInstanceUID = series_uid
    return item
