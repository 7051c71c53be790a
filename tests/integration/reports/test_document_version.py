"""UID, number and predecessor of the documents on one study."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.builders.assessments import mixed, untrained
from tests.builders.products import DICOM_REPORTS
from tests.builders.reportings import reporting
from tests.integration.judges import dciodvfy, lines_starting_with, pixelmed
from triage.domain.assessment import Assessment
from triage.domain.delivery import Product
from triage.reports import build_products

Products = list[Product]
NEXT = replace(mixed(), revision=2, inputs_digest="2b3c" * 16)


def build(
    assessment: Assessment, *replaced: Product, kinds: tuple[str, ...] = DICOM_REPORTS
) -> Products:
    return list(build_products(replace(reporting(assessment), replaced=replaced), kinds))


def build_structured_reports(assessment: Assessment, *replaced: Product) -> Products:
    return build(assessment, *replaced, kinds=("structured_report",))


@pytest.mark.parametrize("later", [NEXT, untrained()])
def test_a_report_with_a_predecessor_is_valid_for_other_programs(
    later: Assessment, tmp_path: Path
) -> None:
    path = tmp_path / "report.dcm"
    for product in build_structured_reports(later, *build_structured_reports(mixed())):
        path.write_bytes(product.content)
        assert lines_starting_with(dciodvfy(path), "Error") == []
        assert len(lines_starting_with(pixelmed(path), "Error")) == 1
