"""Pseudonymous keys for patients and for the similar cases in a report.

A key is an HMAC (RFC 2104) with a secret of this installation, readable only by its owner in the
state folder. So the library has no Patient ID, only this installation can resolve a key from a
report, and keys of two reports cannot be linked.

A secret that is lost is not made anew beside past cases: keys in sent reports would never resolve
again, and patients would not be recognised. Its fingerprint, in a file of its own, shows that a
secret is not the one that made the keys.

A secret that is short, of few different bytes (a file system may leave zeros after a power cut), or
open to other users is never used, with past cases or without: anybody could compute the keys.
"""

import base64
import hmac
import os
import re
import secrets
import stat
from pathlib import Path

from pydicom import Dataset

from triage.dicom.patient import text_value
from triage.domain.errors import ConfigurationError

FILE = "secret"  #: its name in the state folder
FINGERPRINT = "secret.fingerprint"  #: name of the file with an HMAC of the secret
BYTES = 32  #: length of a new secret, and the shortest that is used
DIFFERENT_BYTES_MIN = 8  #: of 32 random bytes fewer are different once in 10**36 secrets
OTHERS = 0o077  #: the bits of a mode that give access to users other than the owner
LETTERS = 8  #: of a case's key: 40 bits
KEY = re.compile(r"[A-Z2-7]{4}-[A-Z2-7]{4}")  #: RFC 4648 base32


def load_secret(folder: Path, cases: int) -> bytes:
    """Return the secret in a folder; create it if it is missing and there are no past cases.

    `cases` is the number of past cases with keys that the secret has made.
    Raises ConfigurationError if the secret is missing, guessable, open to other users, or not the
    one of these cases.
    """
    if not cases and not (folder / FILE).exists():
        (folder / FINGERPRINT).unlink(missing_ok=True)  # of a secret that no case needs
        return load_or_create_secret(folder)
    if problem := find_secret_problem(folder, cases):
        raise ConfigurationError(problem)
    return load_or_create_secret(folder)


def find_secret_problem(folder: Path, cases: int) -> str:
    """Return why the secret in a folder cannot be used beside so many past cases; empty if it can.

    Changes nothing.
    """
    path = folder / FILE
    if not path.exists():
        return _describe_problem(path, cases, "is missing") if cases else ""
    try:
        secret = _read_secret(path)
    except _OpenToOthers:
        return (
            f"the secret {path} can be read or changed by other users, who could compute the keys "
            f"of cases: run chmod 600 {path}, and find out who had access"
        )
    if problem := _find_weakness(secret):
        if cases:
            return _describe_problem(path, cases, problem)
        return (
            f"the secret {path} {problem}: anybody could compute the keys of cases. Put back the "
            f"file `{FILE}` of a backup; if there is none, remove this file, and the next start "
            "makes a new one, because there are no past cases"
        )
    recorded = _read_fingerprint(folder)
    if recorded and not hmac.compare_digest(recorded, fingerprint(secret)):
        return _describe_problem(path, cases, "is not the one that made the keys of past cases")
    return ""


class _OpenToOthers(Exception):
    """The file of the secret can be read or changed by users other than its owner."""


def _read_secret(path: Path) -> bytes:
    """Return the content of the file; raises _OpenToOthers.

    The mode is that of the opened file, so the file cannot be replaced after the check.
    """
    with path.open("rb") as file:
        if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & OTHERS:
            raise _OpenToOthers
        return file.read()


def _find_weakness(secret: bytes) -> str:
    """Return why a secret could be guessed; empty if it cannot."""
    if len(secret) < BYTES:
        return f"has {len(secret)} bytes instead of {BYTES}"
    if len(set(secret)) < DIFFERENT_BYTES_MIN:
        return f"has only {len(set(secret))} different bytes, so it is not random"
    return ""


def _describe_problem(path: Path, cases: int, problem: str) -> str:
    return (
        f"the secret {path} {problem}, and there are {cases} past cases: without it the keys in "
        "sent reports do not resolve, and patients are not recognised. Put back the file "
        f"`{FILE}` of a backup, or of another machine with the same cases. If it is lost for good, "
        "move the folder `cases` and this file away and run `triage index` on the studies again"
    )


def load_or_create_secret(folder: Path) -> bytes:
    """Return the secret in a folder; the first call creates it and its fingerprint."""
    path = folder / FILE
    if not path.exists():
        _write_once(path, secrets.token_bytes(BYTES))
    secret = path.read_bytes()
    if not (folder / FINGERPRINT).exists():
        _write_once(folder / FINGERPRINT, fingerprint(secret))
    return secret


def fingerprint(secret: bytes) -> bytes:
    """Return an HMAC from which the secret cannot be found."""
    return _hmac(secret, "fingerprint").hex().encode()


def _read_fingerprint(folder: Path) -> bytes:
    path = folder / FINGERPRINT
    return path.read_bytes() if path.exists() else b""


def _write_once(path: Path, content: bytes) -> None:
    """Create a file durably; if another process has created it meanwhile, its content stays."""
    staging = path.with_name(f"{path.name}.{os.getpid()}.part")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    with os.fdopen(os.open(staging, flags, 0o600), "wb") as file:
        file.write(content)
        os.fsync(file.fileno())
    try:
        os.link(staging, path)
    except FileExistsError:
        pass
    finally:
        staging.unlink()


def patient_key(secret: bytes, header: Dataset) -> str:
    """Return the key that all studies of a patient share; without a Patient ID, one per study."""
    number = text_value(header, "PatientID").strip()
    issuer = text_value(header, "IssuerOfPatientID").strip()
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
