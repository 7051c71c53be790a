"""Every report of the registry is deterministic, and what is an object a DICOM file."""

import os
import subprocess
import sys
from copy import deepcopy
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import ExplicitVRLittleEndian

from tests.builders.assessments import EQUIPMENT, STUDY_UID, evidence, mixed
from tests.builders.reportings import reporting
from triage.domain.assessment import Assessment
from triage.domain.delivery import Product
from triage.reports import OBJECTS, REPORTS
from triage.reports.reporting import Reporting

ROOT = Path(__file__).parents[3]
REPORT = pytest.mark.parametrize("kind", REPORTS)
OBJECT = pytest.mark.parametrize("kind", OBJECTS)


def reworded() -> dict[str, Assessment]:
    base = mixed()
    return {
        "revision": replace(base, revision=2),
        "inputs": replace(base, inputs_digest="ffff" * 16),
        "findings": replace(base, findings_digest="ffff" * 16),
        "model": replace(base, model=replace(base.model, digest="ffff" * 16)),
        "model's name": replace(base, model=replace(base.model, name="other")),
        "model's version": replace(base, model=replace(base.model, version="1.0.1")),
    }


def built(kind: str, said: Reporting) -> Product:
    product = REPORTS[kind](said)
    assert product is not None
    return product


@OBJECT
def test_product_is_what_its_file_says(kind: str) -> None:
    product = built(kind, reporting(mixed()))
    file = dcmread(BytesIO(product.content))
    assert product.kind == kind
    assert product.sop_class_uid == file.SOPClassUID == file.file_meta.MediaStorageSOPClassUID
    assert product.sop_instance_uid == file.SOPInstanceUID
    assert product.sop_instance_uid == file.file_meta.MediaStorageSOPInstanceUID
    assert file.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert file.StudyInstanceUID == STUDY_UID


@REPORT
def test_same_input_gives_same_bytes_in_any_order_and_process(kind: str) -> None:
    content = built(kind, reporting(mixed())).content
    assert built(kind, reporting(mixed(), evidence()[::-1])).content == content
    elsewhere = (
        "import sys; from tests.builders.assessments import mixed;"
        "from tests.builders.reportings import reporting; from triage.reports import REPORTS;"
        f"sys.stdout.buffer.write(REPORTS[{kind!r}](reporting(mixed())).content)"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", elsewhere], env=environment, check=True, capture_output=True
    )
    assert done.stdout == content


@OBJECT
@pytest.mark.parametrize("what", reworded())
def test_another_content_is_another_instance_of_the_same_series(kind: str, what: str) -> None:
    before = built(kind, reporting(mixed()))
    later = replace(reporting(reworded()[what]), replaced=(before,))
    first, second = (dcmread(BytesIO(each.content)) for each in (before, built(kind, later)))
    assert first.SOPInstanceUID != second.SOPInstanceUID
    assert first.SeriesInstanceUID == second.SeriesInstanceUID
    if what == "revision":
        assert (first.InstanceNumber, second.InstanceNumber) == (1, 2)


@REPORT
def test_another_installation_writes_other_instances(kind: str) -> None:
    elsewhere = replace(EQUIPMENT, serial="site-0002")
    here = built(kind, reporting(mixed()))
    assert (
        here.sop_instance_uid
        != built(kind, replace(reporting(mixed()), equipment=elsewhere)).sop_instance_uid
    )


@REPORT
def test_evidence_is_left_as_it_was(kind: str) -> None:
    images = evidence()
    before = deepcopy(images)
    REPORTS[kind](reporting(mixed(), images))
    assert images == before
