"""Pseudonymous keys of patients and cases."""

import random
import re
from pathlib import Path

import pytest
from pydicom import Dataset

from triage.cases.keys import (
    FILE,
    FINGERPRINT,
    case_key,
    load_or_create_secret,
    load_secret,
    patient_key,
)
from triage.domain.errors import ConfigurationError

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


@pytest.mark.parametrize("cases", [0, 3])
@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "has 0 bytes instead of 32"),
        (b"guess", "has 5 bytes instead of 32"),
        (random.Random(1).randbytes(31), "has 31 bytes instead of 32"),
        (bytes(32), "has only 1 different bytes"),
    ],
)
def test_a_secret_that_can_be_guessed_is_refused_with_a_remedy(
    tmp_path: Path, content: bytes, why: str, cases: int
) -> None:
    path = tmp_path / FILE
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(ConfigurationError, match=f"{why}.*[Pp]ut back the file `secret`"):
        load_secret(tmp_path, cases)
    assert path.read_bytes() == content  # it is never replaced in silence
    assert not (tmp_path / FINGERPRINT).exists()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602])
@pytest.mark.parametrize("cases", [0, 3])
def test_a_secret_that_others_can_read_or_change_is_refused(
    tmp_path: Path, mode: int, cases: int
) -> None:
    secret = load_or_create_secret(tmp_path)
    (tmp_path / FILE).chmod(mode)
    with pytest.raises(ConfigurationError, match="run chmod 600"):
        load_secret(tmp_path, cases)
    (tmp_path / FILE).chmod(0o600)
    assert load_secret(tmp_path, cases) == secret


def test_a_longer_secret_made_elsewhere_is_used(tmp_path: Path) -> None:
    longer = random.Random(1).randbytes(48)
    (tmp_path / FILE).write_bytes(longer)
    (tmp_path / FILE).chmod(0o600)
    assert load_secret(tmp_path, cases=0) == longer
