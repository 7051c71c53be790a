"""Every registered DICOM report passes the judges of other projects that know its SOP class."""

from pathlib import Path

import pytest

from tests.builders.products import DICOM_REPORTS
from tests.builders.reportings import KINDS
from tests.integration.judges import KNOWN_ERROR, dciodvfy, dsrdump, lines_starting_with, pixelmed
from tests.peers import dciodvfy_errors
from triage.domain.delivery import Product
from triage.reports import build_products, key_images, structured_report

WITH_TREE = (structured_report.KIND, key_images.KIND)  #: have a content tree


def products(kind: str) -> list[Product]:
    """Return the report of a study with every kind of answer, in all of its SOP classes."""
    return list(build_products(KINDS["decided"](), [kind]))


@pytest.mark.parametrize("kind", DICOM_REPORTS)
def test_no_judge_finds_an_error(kind: str, tmp_path: Path) -> None:
    made = products(kind)
    assert made
    for number, product in enumerate(made):
        path = tmp_path / f"{number}.dcm"
        path.write_bytes(product.content)
        assert dciodvfy_errors("\n".join(dciodvfy(path))) == []
        if kind in WITH_TREE:
            assert lines_starting_with(dsrdump(path).splitlines(), "E: ") == []
            errors = lines_starting_with(pixelmed(path), "Error")
            assert [error for error in errors if not error.endswith(KNOWN_ERROR)] == []
