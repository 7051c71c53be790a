"""Pseudonymous keys of patients and cases."""

import re
from pathlib import Path

import pytest
from pydicom import Dataset

from triage.cases.keys import case_key, load_or_create_secret, patient_key

SECRET = b"s" * 32


def header(number: str = "4711", issuer: str = "", study: str = "1.2.3") -> Dataset:
    dataset = Dataset()
    dataset.PatientID, dataset.IssuerOfPatientID = number, issuer
    dataset.StudyInstanceUID = study
    return dataset


def test_studies_of_one_patient_share_a_key_without_the_patient_id() -> None:
    key = patient_key(SECRET, header())
    assert key == patient_key(SECRET, header("4711 ", study="4.5.6"))
    assert "4711" not in key
    others = [
        patient_key(SECRET, header("4712")),
        patient_key(SECRET, header(issuer="elsewhere")),
        patient_key(b"t" * 32, header()),
    ]
    assert len({key, *others}) == 4


@pytest.mark.parametrize("number", ["", "  "])
def test_studies_without_a_patient_id_do_not_share_a_key(number: str) -> None:
    first, second = header(number, study="1.2.3"), header(number, study="4.5.6")
    assert patient_key(SECRET, first) != patient_key(SECRET, second)


def test_keys_differ_when_the_boundary_between_their_parts_differs() -> None:
    assert patient_key(SECRET, header("1", "23")) != patient_key(SECRET, header("31", "2"))


def test_a_case_has_a_different_key_in_every_report() -> None:
    key = case_key(SECRET, "1.1", "2.2")
    assert re.fullmatch(r"[A-Z2-7]{4}-[A-Z2-7]{4}", key)
    assert key == case_key(SECRET, "1.1", "2.2")
    assert len({key, case_key(SECRET, "1.2", "2.2"), case_key(b"t" * 32, "1.1", "2.2")}) == 3


def test_the_secret_is_created_once_and_readable_by_its_owner_only(tmp_path: Path) -> None:
    secret = load_or_create_secret(tmp_path)
    assert len(secret) == 32
    assert load_or_create_secret(tmp_path) == secret
    assert {file.name for file in tmp_path.iterdir()} == {"secret", "secret.fingerprint"}
    assert not any(file.stat().st_mode & 0o077 for file in tmp_path.iterdir())
