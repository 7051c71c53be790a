"""Keys that say nothing to a stranger: whose a case is, and which case a report speaks of.

Rule: a key is an HMAC (RFC 2104) with a secret of this installation, kept for its owner alone in
the state folder. So the library holds no patient's number, and a key out of a report leads nowhere
but here, and not from one report to another.
"""

import base64
import hmac
import os
import re
import secrets
from pathlib import Path

from pydicom import Dataset

FILE = "secret"
BYTES = 32
LETTERS = 8  #: of a case's key: 40 bits
KEY = re.compile(r"[A-Z2-7]{4}-[A-Z2-7]{4}")  #: RFC 4648 base32


def load_or_create_secret(folder: Path) -> bytes:
    """Return the secret in a folder; the first who asks makes it."""
    path = folder / FILE
    aside = path.with_suffix(f".{os.getpid()}.part")
    if not path.exists():
        with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(secrets.token_bytes(BYTES))
            os.fsync(file.fileno())
        try:
            os.link(aside, path)  # never over one that another process has just made
        except FileExistsError:
            pass
        finally:
            aside.unlink()
    return path.read_bytes()


def patient_key(secret: bytes, header: Dataset) -> str:
    """Return what is the same for all studies of a patient; without a Patient ID, for one study."""
    number = str(header.get("PatientID", "")).strip()
    issuer = str(header.get("IssuerOfPatientID", "")).strip()
    if not number:
        return _hmac(secret, "study", str(header.StudyInstanceUID)).hex()
    return _hmac(secret, "patient", issuer, number).hex()


def case_key(secret: bytes, report_study_uid: str, study_uid: str) -> str:
    """Return how the report on one study names another one, e.g. "7QK4-M2XD"."""
    letters = base64.b32encode(_hmac(secret, "case", report_study_uid, study_uid)).decode()
    return f"{letters[: LETTERS // 2]}-{letters[LETTERS // 2 : LETTERS]}"


def _hmac(secret: bytes, *parts: str) -> bytes:
    """Every part stands behind its length, so that no two lists of parts are one."""
    said = b"".join(len(part.encode()).to_bytes(4) + part.encode() for part in parts)
    return hmac.digest(secret, said, "sha256")
