"""Every report states when it was made, in a stated time zone; the time is no part of its UID."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta, tzinfo
from io import BytesIO
from types import SimpleNamespace
from typing import Self

import pypdfium2
import pytest
from pydicom import Dataset, dcmread

from tests.builders.assessments import STUDY_UID, as_received, evidence
from tests.builders.products import DICOM_REPORTS
from tests.builders.reportings import KINDS, MADE_AT, reporting, usual
from triage.domain.delivery import Product
from triage.reports import REPORTS, build_products, fhir, hl7, pdf
from triage.reports.header import utc_offset
from triage.reports.reporting import Reporting

OBJECT = pytest.mark.parametrize("kind", DICOM_REPORTS)
LATER = MADE_AT + timedelta(days=40)


class Tomorrow(datetime):
    """The clock of a library, a day ahead."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Self:
        return super().now(tz) + timedelta(days=1)


def with_images(**values: str | None) -> Reporting:
    """Return the usual report on images with these values; None: without the attribute."""
    images = evidence()
    for image in images:
        for keyword, value in values.items():
            setattr(image, keyword, value)
            if value is None:
                delattr(image, keyword)
    return reporting(usual(), [as_received(image) for image in images])


def read(product: Product | None) -> Dataset:
    assert product is not None
    return dcmread(BytesIO(product.content))


def make(source: Reporting) -> list[Product]:
    return [*build_products(source, REPORTS), fhir.build(source)]


def times(document: Dataset) -> tuple[str, str, str]:
    assert document.InstanceCreationDate == document.ContentDate
    assert document.InstanceCreationTime == document.ContentTime
    return document.ContentDate, document.ContentTime, document.TimezoneOffsetFromUTC


@OBJECT
def test_an_object_has_the_time_of_its_making_in_every_sop_class(kind: str) -> None:
    for product in build_products(KINDS["usual"](), [kind]):
        assert times(read(product)) == ("20261104", "093015.250000", "+0100")
        assert product.made_at == MADE_AT.timestamp()


@OBJECT
@pytest.mark.parametrize(
    ("images", "expected"),
    [
        ({"TimezoneOffsetFromUTC": "-0500"}, ("20261104", "033015.250000", "-0500")),
        ({"TimezoneOffsetFromUTC": "+1345"}, ("20261104", "221515.250000", "+1345")),
        # The offset holds for the date of the study too: it was summer then.
        ({"StudyDate": "20240705"}, ("20261104", "103015.250000", "+0200")),
        ({"StudyDate": "19040229"}, ("20261104", "093015.250000", "+0100")),
        ({"StudyDate": None}, ("20261104", "093015.250000", "+0100")),
    ],
)
def test_the_zone_is_that_of_the_images_or_of_the_site_on_the_day_of_the_study(
    kind: str, images: dict[str, str | None], expected: tuple[str, str, str]
) -> None:
    document = read(REPORTS[kind].build(with_images(**images)))
    assert times(document) == expected


@pytest.mark.parametrize("stated", ["+2500", "+0199", "MEZ", "0100"])
def test_an_offset_that_is_none_is_not_repeated(stated: str) -> None:
    document = read(pdf.build(with_images(TimezoneOffsetFromUTC=stated)))
    assert document.TimezoneOffsetFromUTC == "+0100"


def test_the_offset_of_the_site_has_whole_minutes() -> None:
    header = Dataset()
    header.StudyDate = ""
    assert utc_offset(header, datetime(2026, 1, 1, tzinfo=UTC)) == "+0000"
    header.StudyDate = "18500101"
    assert utc_offset(header, MADE_AT) == "+0100"


def test_a_message_is_as_old_as_its_making_and_states_the_zone_of_each_time() -> None:
    source = with_images(StudyDate="20240705")
    message = hl7.build(source).content.decode()
    segments = {line[:3]: line.split("|") for line in message.split("\r")}
    assert segments["MSH"][6] == segments["OBR"][22] == "20261104093015+0100"
    assert segments["OBR"][7] == "20240705101500+0200"


def test_the_second_of_its_building_is_no_part_of_a_message(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = hl7.build(KINDS["usual"]())
    monkeypatch.setattr("hl7apy.core.datetime", SimpleNamespace(datetime=Tomorrow))
    assert hl7.build(KINDS["usual"]()) == first


def test_a_bundle_has_its_instant_and_the_report_its_issue() -> None:
    bundle = json.loads(fhir.build(KINDS["usual"]()).content)
    resources = [entry["resource"] for entry in bundle["entry"]]
    (report,) = [each for each in resources if each["resourceType"] == "DiagnosticReport"]
    assert bundle["timestamp"] == report["issued"] == "2026-11-04T09:30:15.250000+01:00"


def test_another_time_is_the_same_product() -> None:
    for first, second in zip(
        make(KINDS["usual"]()), make(replace(KINDS["usual"](), made_at=LATER)), strict=True
    ):
        assert first.sop_instance_uid == second.sop_instance_uid
        assert (first.content != second.content) is (first.kind != "summary")


def test_a_product_that_is_made_again_after_its_removal_has_the_same_bytes() -> None:
    first = list(build_products(KINDS["usual"](), REPORTS))
    removed = [replace(product, content=b"") for product in first]
    again = replace(KINDS["usual"](), replaced=removed, made_at=LATER)
    assert list(build_products(again, REPORTS)) == first
    assert [product.made_at for product in first] == [MADE_AT.timestamp()] * len(first)


def test_a_bundle_that_is_made_again_has_the_same_bytes() -> None:
    first = fhir.build(KINDS["usual"]())
    stored = replace(first, content=b"", made_at=MADE_AT.timestamp())
    again = replace(KINDS["usual"](), replaced=[stored], made_at=LATER)
    assert fhir.build(again).content == first.content


@OBJECT
def test_the_second_revision_is_later_than_the_first(kind: str) -> None:
    first = list(build_products(KINDS["usual"](), [kind]))
    later = replace(
        reporting(replace(usual(), revision=2)), replaced=first, made_at=MADE_AT + timedelta(1)
    )
    for before, after in zip(first, build_products(later, [kind]), strict=True):
        assert (read(after).ContentDate, read(before).ContentDate) == ("20261105", "20261104")


def sheets(product: Product) -> Sequence[str]:
    document = read(product)
    drawn = document.EncapsulatedDocument[: document.EncapsulatedDocumentLength]
    return [
        sheet.get_textpage().get_text_bounded().replace("\r\n", "\n")
        for sheet in pypdfium2.PdfDocument(drawn)
    ]


@pytest.mark.parametrize("kind", ["usual", "forty_findings"])
def test_every_sheet_states_study_accession_time_and_what_it_replaces(kind: str) -> None:
    first = pdf.build(KINDS[kind]())
    later = replace(KINDS[kind](), replaced=(first,), made_at=LATER)
    revised = replace(later, assessment=replace(later.assessment, revision=2))
    second = pdf.build(revised)
    for text in sheets(first):
        assert f"study {STUDY_UID}\n" in f"{text}\n"
        assert "accession ACC0001" in text
        assert "made 2026-11-04 09:30 +0100" in text
        assert "replaces" not in text
    for text in sheets(second):
        assert "revision 2" in text
        assert "made 2026-12-14 09:30 +0100" in text
        assert f"replaces {first.sop_instance_uid}" in text
    assert len(sheets(first)) == len(sheets(second)) == (1 if kind == "usual" else 2)


def test_the_longest_uids_are_printed_whole() -> None:
    uid = f"1.2.{'8' * 60}"
    images = evidence()
    for image in images:
        image.StudyInstanceUID = uid
    earlier = Product(pdf.KIND, "", f"2.25.{'8' * 39}", b"")
    source = reporting(replace(usual(), study_uid=uid), images)
    (text,) = sheets(pdf.build(replace(source, replaced=(earlier,))))
    assert f"study {uid}" in text
    assert f"replaces {earlier.sop_instance_uid}" in text
