"""Makes pairs from DICOM studies with reports, by the worker's own code.

    studies/<key>/           any DICOM files below it
                  impression.txt  the impression section of its report; or a row of a table
                  truth.json      labels, if known: {"findings": {...}, ...}

View selection and frames are those of the worker (`triage.imaging`), so training and service use
the same images. A study that the worker would decline is left out and reported.

The column `patient` groups the studies of a patient and names nobody: it is an HMAC of the Patient
ID and its issuer, or of the key that the table of reports states.
"""

import csv
import hmac
import json
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydicom import Dataset

from export.pairs import PATIENT, write_pairs
from triage.cases.keys import BYTES, patient_key
from triage.dicom.header import read_header
from triage.domain.errors import ConfigurationError, DamagedInstance
from triage.imaging.clip import find_heart_centre, join_views, prepare_view
from triage.imaging.series import Image, select_views
from triage.model.bundle import ClipForm
from triage.ports.encoder import Frames

IMPRESSION = "impression.txt"
TRUTH = "truth.json"
LABELS = ("findings", "diagnoses")
NOT_IMAGES = {".txt", ".json", ".csv"}


@dataclass(frozen=True)
class Reports:
    """The texts of studies, and the key of their patients' pseudonyms."""

    impressions: Mapping[str, str] | None = None  #: by folder name; None: from impression.txt
    patients: Mapping[str, str] = field(default_factory=dict)  #: keys instead of the Patient ID
    #: of the pseudonyms; one that is not kept makes them valid for these pairs alone
    secret: bytes = field(default_factory=lambda: secrets.token_bytes(BYTES))

    def pseudonym(self, folder: Path, header: Dataset) -> str:
        """Return what the studies of a patient share, from the header of an image."""
        stated = self.patients.get(folder.name)
        if stated:
            return hmac.digest(self.secret, stated.encode(), "sha256").hex()
        return patient_key(self.secret, header)


def study_frames(folder: Path, form: ClipForm) -> Frames:
    """Return the clip of the study in `folder`, (n <= F, H, W); raise DamagedInstance."""
    return _frames_and_header(folder, form)[0]


def _frames_and_header(folder: Path, form: ClipForm) -> tuple[Frames, Dataset]:
    """Return the clip of a study, and the header of one of its images."""
    files = [path for path in sorted(folder.rglob("*")) if path.suffix not in NOT_IMAGES]
    contents = {str(path): path.read_bytes() for path in files if path.is_file()}
    images = [Image(path, read_header(content)) for path, content in contents.items()]
    selection = select_views(images, [slot.view for slot in form.layout])
    if not selection.used:
        raise DamagedInstance("no view that the model looks at")
    heart = find_heart_centre(selection.used)
    views = {
        chosen.view: prepare_view(chosen, form, heart, contents.__getitem__)
        for chosen in selection.used
    }
    return join_views(views, form), images[0].header


def write_studies(
    studies: Path,
    out: Path,
    form: ClipForm,
    reports: Reports | None = None,
    done: Callable[[str, str], None] = lambda _key, _problem: None,
) -> int:
    """Write the pairs of the studies below a folder; return their number.

    Without `reports` each folder has its impression.txt. `done` is called with the name of each
    study and the reason why it was left out, or an empty string.
    """
    folders = sorted(path for path in studies.iterdir() if path.is_dir())
    if not folders:
        raise ConfigurationError(f"{studies} holds no study folders")
    known = reports or Reports()
    texts = {f: text for f in folders if (text := _impression(f, known.impressions))}
    return write_pairs(out, _pairs(texts, form, done, known.pseudonym), len(texts), form)


def read_reports(path: Path) -> Reports:
    """Return the reports of a CSV with the columns `study`, `impression`, and perhaps `patient`."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}") from None
    if rows and not {"study", "impression"} <= set(rows[0]):
        raise ConfigurationError(f"{path}, line 1: needs the columns study and impression")
    return Reports(
        {row["study"]: row["impression"].strip() for row in rows},
        {row["study"]: (row.get(PATIENT) or "").strip() for row in rows},
    )


def _pairs(
    impressions: Mapping[Path, str],
    form: ClipForm,
    done: Callable[[str, str], None],
    pseudonym: Callable[[Path, Dataset], str],
) -> Iterator[tuple[Frames, dict[str, str]]]:
    labels = [_labels(folder) for folder in impressions]
    columns = dict.fromkeys(column for known in labels for column in known)
    for (folder, text), known in zip(impressions.items(), labels, strict=True):
        try:
            frames, header = _frames_and_header(folder, form)
        except DamagedInstance as error:
            done(folder.name, str(error))
            continue
        row = {column: known.get(column, "") for column in columns}
        patient = {PATIENT: pseudonym(folder, header)}
        yield frames, {"id": folder.name, "impression": text, **patient, **row}
        done(folder.name, "")


def _impression(folder: Path, impressions: Mapping[str, str] | None) -> str:
    if impressions is not None:
        return impressions.get(folder.name, "")
    path = folder / IMPRESSION
    return path.read_text(encoding="utf-8").strip() if path.is_file() else ""


def _labels(folder: Path) -> dict[str, str]:
    if not (folder / TRUTH).is_file():
        return {}
    truth = json.loads((folder / TRUTH).read_text(encoding="utf-8"))
    return {name: str(int(holds)) for part in LABELS for name, holds in truth.get(part, {}).items()}
