"""UID, number and predecessor of the documents on one study."""

from dataclasses import replace
from io import BytesIO

from pydicom import Dataset, dcmread
from pydicom.uid import Comprehensive3DSRStorage

from tests.builders.assessments import STUDY_UID, mixed
from tests.builders.products import DICOM_REPORTS
from tests.builders.reportings import reporting
from triage.domain.assessment import Assessment
from triage.domain.delivery import Product
from triage.reports import build_products

Products = list[Product]
NEXT = replace(mixed(), revision=2, inputs_digest="2b3c" * 16)


def build(
    assessment: Assessment, *replaced: Product, kinds: tuple[str, ...] = DICOM_REPORTS
) -> Products:
    return list(build_products(replace(reporting(assessment), replaced=replaced), kinds))


def read(product: Product) -> Dataset:
    return dcmread(BytesIO(product.content))


def build_structured_reports(assessment: Assessment, *replaced: Product) -> Products:
    return build(assessment, *replaced, kinds=("structured_report",))


def test_the_first_document_replaces_none() -> None:
    for product in build(mixed()):
        assert "PredecessorDocumentsSequence" not in read(product)
        assert read(product).InstanceNumber == 1


def test_a_later_report_names_its_predecessor_in_every_sop_class() -> None:
    first = build_structured_reports(mixed())
    second = build_structured_reports(NEXT, *first)
    assert len(second) == 3
    for before, after in zip(first, second, strict=True):
        document = read(after)
        (study,) = document.PredecessorDocumentsSequence
        assert study.StudyInstanceUID == STUDY_UID
        (series,) = study.ReferencedSeriesSequence
        assert series.SeriesInstanceUID == document.SeriesInstanceUID
        (reference,) = series.ReferencedSOPSequence
        assert reference.ReferencedSOPInstanceUID == before.sop_instance_uid
        assert reference.ReferencedSOPClassUID == before.sop_class_uid == after.sop_class_uid
        (purpose,) = reference.PurposeOfReferenceCodeSequence
        assert (purpose.CodeValue, purpose.CodingSchemeDesignator) == ("121360", "DCM")
        assert document.InstanceNumber == 2


def test_older_sop_classes_are_alternatives_to_the_report_of_their_revision() -> None:
    first = build_structured_reports(mixed())
    for forms in (first, build_structured_reports(NEXT, *first)):
        assert forms[0].sop_class_uid == Comprehensive3DSRStorage
        assert {form.alternative_to for form in forms[1:]} == {forms[0].sop_instance_uid}


def test_identical_content_is_no_new_version() -> None:
    first = build(mixed())
    assert build(mixed(), *first) == first
    second = build(NEXT, *first)
    assert build(NEXT, *first, *second) == second


def test_a_change_and_its_reversal_leave_three_documents() -> None:
    first = build(mixed())
    second = build(NEXT, *first)
    third = build(mixed(), *first, *second)
    assert len(first) == len(second) == len(third) == 6
    assert len({p.sop_instance_uid for p in (*first, *second, *third)}) == 18
    for versions in zip(first, second, third, strict=True):
        documents = [read(product) for product in versions]
        assert [d.InstanceNumber for d in documents] == [1, 2, 3]
        assert len({d.SeriesInstanceUID for d in documents}) == 1


def test_every_kind_has_its_own_series_and_series_number() -> None:
    documents = [read(product) for product in build(mixed()) if not product.alternative_to]
    assert len(documents) == len(DICOM_REPORTS)
    assert len({d.SeriesInstanceUID for d in documents}) == len(DICOM_REPORTS)
    assert len({d.SeriesNumber for d in documents}) == len(DICOM_REPORTS)
