"""Which document a report is among those of its study, and what it says of the one before it."""

from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import Comprehensive3DSRStorage

from tests.builders.assessments import STUDY_UID, mixed, untrained
from tests.builders.reportings import reporting
from tests.unit.reports.judges import dciodvfy, pixelmed, starting
from triage.domain.assessment import Assessment
from triage.domain.delivery import Product
from triage.reports import OBJECTS, products

Line = list[Product]
NEXT = replace(mixed(), revision=2, inputs_digest="2b3c" * 16)


def made(said: Assessment, *replaced: Product, kinds: tuple[str, ...] = tuple(OBJECTS)) -> Line:
    return list(products(replace(reporting(said), replaced=replaced), kinds))


def read(product: Product) -> Dataset:
    return dcmread(BytesIO(product.content))


def reports(said: Assessment, *replaced: Product) -> Line:
    return made(said, *replaced, kinds=("structured_report",))


def test_the_first_replaces_nothing() -> None:
    for product in made(mixed()):
        assert "PredecessorDocumentsSequence" not in read(product)
        assert read(product).InstanceNumber == 1


def test_a_later_report_names_the_one_that_it_replaces_in_each_of_its_forms() -> None:
    first = reports(mixed())
    second = reports(NEXT, *first)
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


def test_older_forms_go_in_place_of_the_report_of_their_own_revision() -> None:
    first = reports(mixed())
    for line in (first, reports(NEXT, *first)):
        assert line[0].sop_class_uid == Comprehensive3DSRStorage
        assert {form.alternative_to for form in line[1:]} == {line[0].sop_instance_uid}


def test_to_say_the_same_again_is_no_revision() -> None:
    first = made(mixed())
    assert made(mixed(), *first) == first
    second = made(NEXT, *first)
    assert made(NEXT, *first, *second) == second


def test_what_is_changed_and_changed_back_leaves_three_documents() -> None:
    first = made(mixed())
    second = made(NEXT, *first)
    third = made(mixed(), *first, *second)
    assert len(first) == len(second) == len(third) == 6
    assert len({p.sop_instance_uid for p in (*first, *second, *third)}) == 18
    for line in zip(first, second, third, strict=True):
        documents = [read(product) for product in line]
        assert [d.InstanceNumber for d in documents] == [1, 2, 3]
        assert len({d.SeriesInstanceUID for d in documents}) == 1


def test_every_kind_has_a_series_and_a_series_number_of_its_own() -> None:
    documents = [read(product) for product in made(mixed()) if not product.alternative_to]
    assert len(documents) == len(OBJECTS)
    assert len({d.SeriesInstanceUID for d in documents}) == len(OBJECTS)
    assert len({d.SeriesNumber for d in documents}) == len(OBJECTS)


@pytest.mark.parametrize("later", [NEXT, untrained()])
def test_judges_take_a_report_with_a_predecessor(later: Assessment, tmp_path: Path) -> None:
    path = tmp_path / "report.dcm"
    for product in reports(later, *reports(mixed())):
        path.write_bytes(product.content)
        assert starting(dciodvfy(path), "Error") == []
        assert len(starting(pixelmed(path), "Error")) == 1
