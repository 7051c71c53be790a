"""An identifier that the images state twice stands once in every product and message."""

import pytest

from tests.builders.assessments import evidence
from tests.builders.reportings import reporting, usual
from tests.unit.reports.golden import product_texts

TWICE = {"PatientID": "4711", "AccessionNumber": "A-0815"}


@pytest.mark.parametrize("keyword", TWICE)
def test_equal_values_are_one_value_in_every_product(keyword: str) -> None:
    value, images = TWICE[keyword], evidence()
    for image in images:
        image[keyword].value = [value, f"{value} "]
    shown = product_texts(reporting(usual(), images))
    for name, text in shown.items():
        assert f"{value}\\" not in text, name
        assert f"{value}'" not in text, name  # as Python writes a list
    for name in ("structured_report", "hl7", "fhir", "page"):
        assert value in shown[name], name
