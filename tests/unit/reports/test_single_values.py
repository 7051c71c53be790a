"""A value that is stated twice is one value in every product."""

import pytest

from tests.builders.assessments import evidence, mixed
from tests.builders.reportings import reporting
from triage.domain.errors import StudyDeclined
from triage.reports import REPORTS, build_products

IDENTIFIERS = ("PatientID", "AccessionNumber", "StudyID", "PatientName", "IssuerOfPatientID")


def build(**values: object) -> list[bytes]:
    """Return the content of every product on images with these values."""
    images = evidence()
    for image in images:
        for keyword, value in values.items():
            setattr(image, keyword, value)
    return [product.content for product in build_products(reporting(mixed(), images), [*REPORTS])]


@pytest.mark.parametrize("keyword", IDENTIFIERS)
def test_equal_values_give_the_products_of_one_value(keyword: str) -> None:
    assert build(**{keyword: ["4711", "4711"]}) == build(**{keyword: "4711"})


@pytest.mark.parametrize("keyword", IDENTIFIERS)
def test_different_values_give_no_product(keyword: str) -> None:
    with pytest.raises(StudyDeclined, match=f"2 different values of {keyword}"):
        build(**{keyword: ["4711", "0815"]})
