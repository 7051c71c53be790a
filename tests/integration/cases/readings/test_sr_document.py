"""Radiologists' reports as SRs; SRs written by machines are skipped."""

from pathlib import Path
from random import Random

from pydicom import Dataset, dcmread
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from tests.builders.readings import basic_text_sr, patient
from tests.integration.judges import dciodvfy, dsrdump, lines_starting_with
from triage.cases.readings.sr_document import impression_from_sr

FINDINGS = (codes.DCM.Findings, "Dilated LV. Electronically signed by nobody.")
HEADER = patient(Random(4)).header


def report(*sections: tuple[Code, str], **values: str) -> Dataset:
    return basic_text_sr((FINDINGS, *sections), HEADER, **values)


def test_the_test_document_is_valid_for_other_programs(tmp_path: Path) -> None:
    document, path = report((codes.DCM.Impressions, "Scar.")), tmp_path / "report.dcm"
    document.save_as(path, enforce_file_format=True)
    assert lines_starting_with(dciodvfy(path), "Error") == []
    assert "Scar." in dsrdump(path)
    assert impression_from_sr(dcmread(path)) == "Scar."
