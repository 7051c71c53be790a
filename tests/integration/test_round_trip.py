"""A real PACS takes every report on every kind of assessment, and gives it back as it was."""

import json
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO

import pytest
from pydicom import Dataset, dcmread

from tests.builders.assessments import mixed
from tests.builders.products import DICOM_REPORTS
from tests.builders.reportings import KINDS, reporting
from tests.integration.servers import Orthanc, orthanc
from tests.waiting import HOST
from triage.destinations.dicom_store import DicomDestination, DicomDestinationSettings
from triage.domain.delivery import Product
from triage.reports import build_products, header
from triage.reports.reporting import Reporting


@pytest.fixture(scope="module")
def pacs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    with orthanc(tmp_path_factory.mktemp("pacs")) as server:
        yield server


def revised() -> Reporting:
    """A second revision, which names the first."""
    first = build_products(reporting(mixed()), DICOM_REPORTS)
    return replace(reporting(replace(mixed(), revision=2)), replaced=tuple(first))


def stored(pacs: Orthanc, product: Product) -> Dataset:
    settings = DicomDestinationSettings(
        name="pacs", ae_title=pacs.ae_title, host=HOST, port=pacs.dicom_port, timeout_s=20
    )
    assert DicomDestination("CMRTRIAGE", settings).deliver(product).answer == "0x0000 Success"
    (found,) = pacs.post("/tools/lookup", product.sop_instance_uid)
    return dcmread(BytesIO(pacs.read(f"/instances/{found['ID']}/file")))


@pytest.mark.parametrize("kind", [*KINDS, "revised"])
def test_every_product_comes_back_equal(pacs: Orthanc, kind: str) -> None:
    pacs.empty()  # the same images under another patient's name are the same study
    said = revised() if kind == "revised" else KINDS[kind]()
    made = list(build_products(said, DICOM_REPORTS))
    assert {product.kind for product in made} >= {"structured_report", "pdf", "secondary_capture"}
    with header.ignore_value_warnings():
        for product in made:
            sent = dcmread(BytesIO(product.content))
            back = stored(pacs, product)
            assert Dataset(back) == Dataset(sent), product.kind
            assert json.loads(back.to_json()) == json.loads(sent.to_json())
