"""Radiologists' reports as SRs; SRs written by machines are skipped."""

from io import BytesIO
from random import Random

import pytest
from pydicom import Dataset, dcmread
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from tests.builders.readings import basic_text_sr, patient
from tests.builders.reportings import KINDS
from triage.cases.readings.sr_document import impression_from_sr, is_machine_written
from triage.reports import key_images, structured_report

FINDINGS = (codes.DCM.Findings, "Dilated LV. Electronically signed by nobody.")
HEADER = patient(Random(4)).header


def report(*sections: tuple[Code, str], **values: str) -> Dataset:
    return basic_text_sr((FINDINGS, *sections), HEADER, **values)


@pytest.mark.parametrize(
    "heading",
    [
        codes.DCM.Impressions,
        codes.DCM.Conclusions,
        codes.DCM.Impression,
        codes.DCM.Summary,
        Code("19005-8", "LN", "Impressions"),
        Code("55110-1", "LN", "Conclusions"),
        Code("X1", "99SITE", "Beurteilung"),
    ],
)
def test_the_text_under_a_heading_is_the_impression(heading: Code) -> None:
    assert (
        impression_from_sr(report((heading, "IMPRESSION: Scar.\nDilated LV.")))
        == "Scar.\nDilated LV."
    )


def test_a_report_in_one_text_item_is_searched_for_headings() -> None:
    whole = "FINDINGS: x\nIMPRESSION: Scar.\nSigned by: X"
    assert (
        impression_from_sr(basic_text_sr([(Code("X", "99SITE", "Body"), whole)], HEADER)) == "Scar."
    )
    assert impression_from_sr(report()) is None
    assert impression_from_sr(report((codes.DCM.Recommendations, "MRI again"))) is None


def test_a_persons_report_is_read_verified_or_not() -> None:
    for flag in ("VERIFIED", "UNVERIFIED"):
        assert (
            impression_from_sr(report((codes.DCM.Impressions, "Scar."), VerificationFlag=flag))
            == "Scar."
        )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("verified", ["UNVERIFIED", "VERIFIED"])
def test_reports_of_the_worker_are_skipped(kind: str, verified: str) -> None:
    source = KINDS[kind]()
    first = structured_report.build(source)
    for product in (first, *structured_report.alternatives(source, first)):
        document = dcmread(BytesIO(product.content))
        document.VerificationFlag = verified
        assert is_machine_written(document)
        assert impression_from_sr(document) is None
    selection = key_images.build(source)
    assert selection is None or impression_from_sr(dcmread(BytesIO(selection.content))) is None


def test_reports_of_other_machines_are_skipped() -> None:
    document = report((codes.DCM.Impressions, "Scar."))
    observer = document.ContentSequence[1]
    observer.ConceptCodeSequence[0].CodeValue = codes.DCM.Device.value
    assert impression_from_sr(document) is None


def test_an_impression_in_the_workers_codes_is_skipped_despite_a_person() -> None:
    document = report((Code("IMPRESSION", "99CMRTRIAGE", "Impression"), "Scar."))
    assert impression_from_sr(document) is None


def test_other_documents_are_skipped() -> None:
    for dataset in (Dataset(), HEADER, report((codes.DCM.Impressions, ""))):
        assert impression_from_sr(dataset) is None
