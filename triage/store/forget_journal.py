"""The journal of `triage forget`: one file for each removal that is not complete."""

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from triage.pipeline.forget_patient import ForgetProgress


class FileForgetJournal:
    """Removals that have begun, as JSON files in a folder of the state folder.

    A file contains the patient's key in the library, which is a digest and no Patient ID.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self, patient: str) -> ForgetProgress | None:
        """Return the progress of a patient's removal; None if none has begun."""
        return next((known for known in self._read() if known.patient == patient), None)

    def find_by_study(self, study_uid: str) -> ForgetProgress | None:
        """Return the progress of a removal that was requested by this Study UID."""
        return next((known for known in self._read() if known.study_uid == study_uid), None)

    def write(self, progress: ForgetProgress) -> None:
        """Replace the patient's progress; durable when it returns."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        path = self._path(progress.patient)
        partial = path.with_suffix(".part")
        with partial.open("w", encoding="utf-8") as file:
            json.dump(asdict(progress), file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        self._sync()

    def remove(self, patient: str) -> None:
        """Remove the patient's progress."""
        self._path(patient).unlink(missing_ok=True)
        self._sync()

    def _path(self, patient: str) -> Path:
        return self._folder / f"{hashlib.sha256(patient.encode()).hexdigest()}.json"

    def _read(self) -> Iterator[ForgetProgress]:
        for path in sorted(self._folder.glob("*.json")):
            content = json.loads(path.read_text(encoding="utf-8"))
            yield ForgetProgress(**{**content, "findings": tuple(content["findings"])})

    def _sync(self) -> None:
        descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
