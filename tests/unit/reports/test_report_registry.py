"""Every registered report: deterministic, of its media type, and a valid file if DICOM."""

import ast
from copy import deepcopy
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import ExplicitVRLittleEndian

from tests.builders.assessments import EQUIPMENT, STUDY_UID, evidence, mixed
from tests.builders.products import DICOM_REPORTS
from tests.builders.reportings import reporting
from tests.builders.source_text import source_files
from triage.domain.assessment import Assessment
from triage.domain.delivery import Product
from triage.reports import REPORTS
from triage.reports.reporting import Reporting

ROOT = Path(__file__).parents[3]
REPORT = pytest.mark.parametrize("kind", REPORTS)
OBJECT = pytest.mark.parametrize("kind", DICOM_REPORTS)


def variants() -> dict[str, Assessment]:
    base = mixed()
    return {
        "revision": replace(base, revision=2),
        "inputs": replace(base, inputs_digest="ffff" * 16),
        "findings": replace(base, findings_digest="ffff" * 16),
        "model": replace(base, model=replace(base.model, digest="ffff" * 16)),
        "model's name": replace(base, model=replace(base.model, name="other")),
        "model's version": replace(base, model=replace(base.model, version="1.0.1")),
    }


def build(kind: str, source: Reporting) -> Product:
    product = REPORTS[kind].build(source)
    assert product is not None
    return product


@REPORT
def test_product_has_the_name_and_media_type_of_its_entry(kind: str) -> None:
    product = build(kind, reporting(mixed()))
    assert (product.kind, product.media_type) == (kind, REPORTS[kind].media_type)


def test_a_report_is_one_module_and_one_line() -> None:
    """Nothing outside the registry lists the names of reports."""
    lists = [
        f"{path.relative_to(ROOT)}: {node.lineno}"
        for path in source_files("triage", "receivers")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Tuple | ast.List | ast.Set)
        and {"pdf", "secondary_capture"}
        <= {item.value for item in node.elts if isinstance(item, ast.Constant)}
    ]
    assert lists == []


@OBJECT
def test_product_and_its_file_state_the_same(kind: str) -> None:
    product = build(kind, reporting(mixed()))
    file = dcmread(BytesIO(product.content))
    assert product.kind == kind
    assert product.sop_class_uid == file.SOPClassUID == file.file_meta.MediaStorageSOPClassUID
    assert product.sop_instance_uid == file.SOPInstanceUID
    assert product.sop_instance_uid == file.file_meta.MediaStorageSOPInstanceUID
    assert file.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert file.StudyInstanceUID == STUDY_UID


@OBJECT
@pytest.mark.parametrize("change", variants())
def test_other_content_is_another_instance_of_the_same_series(kind: str, change: str) -> None:
    before = build(kind, reporting(mixed()))
    later = replace(reporting(variants()[change]), replaced=(before,))
    first, second = (dcmread(BytesIO(product.content)) for product in (before, build(kind, later)))
    assert first.SOPInstanceUID != second.SOPInstanceUID
    assert first.SeriesInstanceUID == second.SeriesInstanceUID
    if change == "revision":
        assert (first.InstanceNumber, second.InstanceNumber) == (1, 2)


@REPORT
def test_another_installation_writes_other_instances(kind: str) -> None:
    elsewhere = replace(EQUIPMENT, serial="site-0002")
    here = build(kind, reporting(mixed()))
    assert (
        here.sop_instance_uid
        != build(kind, replace(reporting(mixed()), equipment=elsewhere)).sop_instance_uid
    )


@REPORT
def test_evidence_is_not_modified(kind: str) -> None:
    images = evidence()
    before = deepcopy(images)
    REPORTS[kind].build(reporting(mixed(), images))
    assert images == before
