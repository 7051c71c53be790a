"""Every registered report: deterministic, of its media type, and a valid file if DICOM."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.builders.assessments import evidence, mixed
from tests.builders.reportings import reporting
from triage.domain.delivery import Product
from triage.reports import REPORTS
from triage.reports.reporting import Reporting

ROOT = Path(__file__).parents[3]
REPORT = pytest.mark.parametrize("kind", REPORTS)


def build(kind: str, source: Reporting) -> Product:
    product = REPORTS[kind].build(source)
    assert product is not None
    return product


@REPORT
def test_same_input_gives_same_bytes_in_any_order_and_process(kind: str) -> None:
    content = build(kind, reporting(mixed())).content
    assert build(kind, reporting(mixed(), evidence()[::-1])).content == content
    script = (
        "import sys; from tests.builders.assessments import mixed;"
        "from tests.builders.reportings import reporting; from triage.reports import REPORTS;"
        f"sys.stdout.buffer.write(REPORTS[{kind!r}].build(reporting(mixed())).content)"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, check=True, capture_output=True
    )
    assert done.stdout == content
