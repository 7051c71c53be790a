"""Pseudonymous keys for patients and for the similar cases in a report.

A key is an HMAC (RFC 2104) with a secret of this installation, readable only by its owner in the
state folder. So the library has no Patient ID, only this installation can resolve a key from a
report, and keys of two reports cannot be linked.
"""

import base64
import hmac
import os
import re
import secrets
from pathlib import Path

from pydicom import Dataset

FILE = "secret"  #: its name in the state folder
BYTES = 32  #: length of the secret
LETTERS = 8  #: of a case's key: 40 bits
KEY = re.compile(r"[A-Z2-7]{4}-[A-Z2-7]{4}")  #: RFC 4648 base32


def load_or_create_secret(folder: Path) -> bytes:
    """Return the secret in a folder; the first call creates it."""
    path = folder / FILE
    staging = path.with_suffix(f".{os.getpid()}.part")
    if not path.exists():
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        with os.fdopen(os.open(staging, flags, 0o600), "wb") as file:
            file.write(secrets.token_bytes(BYTES))
            os.fsync(file.fileno())
        try:
            os.link(staging, path)  # fails if another process has created the secret meanwhile
        except FileExistsError:
            pass
        finally:
            staging.unlink()
    return path.read_bytes()


def patient_key(secret: bytes, header: Dataset) -> str:
    """Return the key that all studies of a patient share; without a Patient ID, one per study."""
    number = str(header.get("PatientID", "")).strip()
    issuer = str(header.get("IssuerOfPatientID", "")).strip()
    if not number:
        return _hmac(secret, "study", str(header.StudyInstanceUID)).hex()
    return _hmac(secret, "patient", issuer, number).hex()


def case_key(secret: bytes, report_study_uid: str, study_uid: str) -> str:
    """Return the key of a case in the report on another study, e.g. "7QK4-M2XD"."""
    letters = base64.b32encode(_hmac(secret, "case", report_study_uid, study_uid)).decode()
    return f"{letters[: LETTERS // 2]}-{letters[LETTERS // 2 : LETTERS]}"


def _hmac(secret: bytes, *parts: str) -> bytes:
    """Return the HMAC of length-prefixed parts, so that ("ab", "c") and ("a", "bc") differ."""
    message = b"".join(len(part.encode()).to_bytes(4) + part.encode() for part in parts)
    return hmac.digest(secret, message, "sha256")
