"""Makes pairs from DICOM studies with reports, by the worker's own code.

    studies/<key>/           any DICOM files below it
                  impression.txt  the impression section of its report; or a row of a table
                  truth.json      labels, if known: {"findings": {...}, ...}

View selection and frames are those of the worker (`triage.imaging`), so training and service use
the same images. A study that the worker would decline is left out and reported.
"""

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from export.pairs import write_pairs
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


def study_frames(folder: Path, form: ClipForm) -> Frames:
    """Return the clip of the study in `folder`, (n <= F, H, W); raise DamagedInstance."""
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
    return join_views(views, form)


def write_studies(
    studies: Path,
    out: Path,
    form: ClipForm,
    impressions: Mapping[str, str] | None = None,
    done: Callable[[str, str], None] = lambda _key, _problem: None,
) -> int:
    """Write the pairs of the studies below a folder; return their number.

    `impressions` maps folder names to texts; without it each folder has its impression.txt. `done`
    is called with the name of each study and the reason why it was left out, or an empty string.
    """
    folders = sorted(path for path in studies.iterdir() if path.is_dir())
    if not folders:
        raise ConfigurationError(f"{studies} holds no study folders")
    texts = {f: text for f in folders if (text := _impression(f, impressions))}
    return write_pairs(out, _pairs(texts, form, done), len(texts), form)


def read_impressions(path: Path) -> dict[str, str]:
    """Return the impressions of a CSV with the columns `study` and `impression`."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}") from None
    if rows and not {"study", "impression"} <= set(rows[0]):
        raise ConfigurationError(f"{path}, line 1: needs the columns study and impression")
    return {row["study"]: row["impression"].strip() for row in rows}


def _pairs(
    impressions: Mapping[Path, str], form: ClipForm, done: Callable[[str, str], None]
) -> Iterator[tuple[Frames, dict[str, str]]]:
    labels = [_labels(folder) for folder in impressions]
    columns = dict.fromkeys(column for known in labels for column in known)
    for (folder, text), known in zip(impressions.items(), labels, strict=True):
        try:
            frames = study_frames(folder, form)
        except DamagedInstance as error:
            done(folder.name, str(error))
            continue
        row = {column: known.get(column, "") for column in columns}
        yield frames, {"id": folder.name, "impression": text, **row}
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
