"""PDF and Secondary Capture as DICOM objects, validated by dicom3tools."""

from dataclasses import replace
from io import BytesIO

import pytest
from pydicom import dcmread
from pydicom.uid import SecondaryCaptureImageStorage

from tests.builders.assessments import STUDY_UID
from tests.builders.reportings import KINDS, reporting, usual
from triage.domain.delivery import Product
from triage.domain.errors import StudyDeclined
from triage.reports import page, pdf, secondary_capture
from triage.reports.rendered_document import find_version

BUILDERS = {pdf.KIND: pdf.build, secondary_capture.KIND: secondary_capture.build}
BUILDER = pytest.mark.parametrize("kind", BUILDERS)


@BUILDER
def test_the_object_states_author_kind_and_that_it_is_unverified(kind: str) -> None:
    product = BUILDERS[kind](KINDS["usual"]())
    file = dcmread(BytesIO(product.content))
    assert product.media_type == "application/dicom"
    assert product.sop_instance_uid == file.SOPInstanceUID
    assert file.StudyInstanceUID == STUDY_UID
    assert file.BurnedInAnnotation == "YES"
    assert "RESEARCH USE ONLY" in file.SeriesDescription
    assert file.PatientName == "Müller^Jürgen"
    if kind == pdf.KIND:
        assert file.VerificationFlag == "UNVERIFIED"


def test_encapsulated_document_is_the_page() -> None:
    made = KINDS["usual"]()
    file = dcmread(BytesIO(pdf.build(made).content))
    content = file.EncapsulatedDocument[: file.EncapsulatedDocumentLength]
    version = find_version(pdf.TYPE, made, page.render(made))
    assert content == page.render(made, version)
    assert version.sop_instance_uid == file.SOPInstanceUID
    assert len(file.EncapsulatedDocument) % 2 == 0
    assert len(file.SourceInstanceSequence) == 50


@pytest.mark.parametrize(("what", "sheets"), [("usual", 1), ("forty_findings", 2)])
def test_the_capture_has_every_sheet(what: str, sheets: int) -> None:
    file = dcmread(BytesIO(secondary_capture.build(KINDS[what]()).content))
    assert file.get("NumberOfFrames", 1) == sheets
    assert (file.SOPClassUID == SecondaryCaptureImageStorage) is (sheets == 1)
    assert file.pixel_array.shape[-3:] == (file.Rows, file.Columns, 3)


@BUILDER
def test_another_page_is_another_instance_of_the_same_series(kind: str) -> None:
    build, base = BUILDERS[kind], reporting(usual())
    first = dcmread(BytesIO(build(base).content))
    others = [
        replace(base, pictures={}),
        replace(base, assessment=replace(base.assessment, revision=2)),
        reporting(usual(), KINDS["japanese_name"]().evidence),
    ]
    seen = {first.SOPInstanceUID}
    for other in others:
        later = replace(other, replaced=(build(base),))
        second = dcmread(BytesIO(build(later).content))
        seen.add(second.SOPInstanceUID)
        assert second.SeriesInstanceUID == first.SeriesInstanceUID
        assert (first.InstanceNumber, second.InstanceNumber) == (1, 2)
    assert len(seen) == 4


@BUILDER
def test_the_instance_number_increases_without_a_new_revision(kind: str) -> None:
    earlier = (Product(kind, "", "2.25.1", b""), Product("other", "", "2.25.2", b""))
    again = replace(reporting(usual()), replaced=earlier)
    assert dcmread(BytesIO(BUILDERS[kind](again).content)).InstanceNumber == 2


@BUILDER
def test_the_same_page_is_the_same_instance_with_the_same_bytes(kind: str) -> None:
    first = BUILDERS[kind](reporting(usual()))
    assert BUILDERS[kind](replace(reporting(usual()), replaced=(first,))) == first


@BUILDER
def test_two_patients_are_rejected(kind: str) -> None:
    mixed_up = reporting(usual())
    mixed_up.evidence[0].PatientID = "OTHER"
    with pytest.raises(StudyDeclined, match="2 patients"):
        BUILDERS[kind](mixed_up)
