"""Pairs of a study's frames and the impression of its report, for training and evaluation.

    pairs/
      frames.npy   uint8 (N, F, H, W): clips as the worker builds them, zeros after their end
      pairs.csv    a row each, in the same order: id, frames (how many count), impression, and any
                   further columns: patient, labels as 0, 1 or empty, and groups such as the vendor
      clip.json    how the frames were made; copied with a model into the manifest of its bundle

Phantoms and hospitals use the same form, which never names a patient: `id` is a key of the caller,
and `patient` a pseudonym that the studies of a patient share. Without it each pair is a patient.
"""

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from triage.domain.errors import ConfigurationError
from triage.domain.spreadsheet_cells import quote_formula, unquote_formula
from triage.model.bundle import ClipForm
from triage.ports.encoder import Frames
from triage.yaml_models import read

FRAMES = "frames.npy"
TABLE = "pairs.csv"
FORM = "clip.json"
REQUIRED = ("id", "frames", "impression")
PATIENT = "patient"


@dataclass(frozen=True)
class Pairs:
    """Pairs on disk; the frames are read as they are asked for."""

    frames: NDArray[np.uint8]  #: (N, F, H, W); of a subset, those of all pairs on disk
    counts: NDArray[np.int64]  #: (N,): how many frames of each clip count
    impressions: tuple[str, ...]
    rows: tuple[Mapping[str, str], ...]  #: every column of the table, by name
    form: ClipForm
    #: place in `frames` of each pair, (N,); None: all of them in order
    places: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def clip(self, row: int) -> NDArray[np.uint8]:
        """Return the clip of one row with the zeros after its end, (F, H, W)."""
        place = row if self.places is None else self.places[row]
        return np.asarray(self.frames[place])

    def clips(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return the clips of some rows, (B, F, H, W), read in the order of the file."""
        places = rows if self.places is None else self.places[rows]
        return self.frames[np.sort(places)][np.argsort(np.argsort(places))]

    def subset(self, rows: NDArray[np.int64]) -> "Pairs":
        """Return the pairs of some rows; their frames stay on disk."""
        return Pairs(
            self.frames,
            self.counts[rows],
            tuple(self.impressions[row] for row in rows),
            tuple(self.rows[row] for row in rows),
            self.form,
            rows if self.places is None else self.places[rows],
        )

    def patients(self) -> tuple[str, ...]:
        """Return the patient of each pair, (N,); its `id` where no patient is stated."""
        return tuple(row.get(PATIENT) or row["id"] for row in self.rows)

    def labels(self, column: str) -> NDArray[np.float64]:
        """Return a column of labels, (N,): 0, 1, or NaN where it is empty or missing."""
        known = {"0": 0.0, "1": 1.0}
        return np.array([known.get(row.get(column, ""), np.nan) for row in self.rows])


def open_pairs(folder: Path) -> Pairs:
    """Open the pairs in `folder`; raise ConfigurationError where table and frames disagree."""
    try:
        frames = np.load(folder / FRAMES, mmap_mode="r")
        with (folder / TABLE).open(encoding="utf-8", newline="") as file:
            rows = tuple(_unquote(row) for row in csv.DictReader(file))
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{folder} holds no pairs: {error}") from None
    if rows and (missing := set(REQUIRED) - set(rows[0])):
        raise ConfigurationError(f"{folder / TABLE} lacks {', '.join(sorted(missing))}")
    if frames.ndim != 4 or len(frames) != len(rows):  # noqa: PLR2004 - N, F, H, W
        raise ConfigurationError(f"{folder}: {len(rows)} rows for frames of shape {frames.shape}")
    counts = np.array([int(row["frames"]) for row in rows], np.int64)
    form = read(folder / FORM, ClipForm)
    if frames.shape[1:] != (form.frames, form.height, form.width):
        raise ConfigurationError(f"{folder}: {FORM} is of other frames than {frames.shape[1:]}")
    return Pairs(frames, counts, tuple(row["impression"] for row in rows), rows, form)


def _unquote(row: Mapping[str, str]) -> dict[str, str]:
    return {unquote_formula(name): unquote_formula(cell) for name, cell in row.items()}


def slot_lengths(form: ClipForm) -> tuple[int, ...]:
    """Return how many frames each view has in a clip; empty if that depends on the study."""
    lengths = tuple(slot.length or 0 for slot in form.layout)
    is_fixed = form.preprocessing.missing == "black" and 0 not in lengths
    return lengths if is_fixed and sum(lengths) == form.frames else ()


def write_form(form: ClipForm, folder: Path) -> None:
    """Write clip.json into `folder`."""
    (folder / FORM).write_text(form.model_dump_json(indent=1) + "\n", encoding="utf-8")


def write_pairs(
    folder: Path,
    pairs: Iterable[tuple[Frames, Mapping[str, str]]],
    at_most: int,
    form: ClipForm,
) -> int:
    """Write up to `at_most` pairs of frames (n <= F, H, W) and their columns; return how many.

    The column `frames` is filled in here; all rows have the columns of the first.
    """
    folder.mkdir(parents=True, exist_ok=True)
    staging = folder / f".{FRAMES}"
    stored = open_memmap(staging, "w+", np.uint8, (at_most, form.frames, form.height, form.width))
    rows: list[Mapping[str, str]] = []
    for frames, columns in pairs:
        stored[len(rows), : len(frames)] = frames
        rows.append({"frames": str(len(frames)), **columns})
    if not rows:
        staging.unlink()
        raise ConfigurationError("no study with a report gave a clip, so there are no pairs")
    with (folder / TABLE).open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(map(quote_formula, rows[0]))
        table.writerows([quote_formula(row[name]) for name in rows[0]] for row in rows)
    np.save(folder / FRAMES, stored[: len(rows)])
    write_form(form, folder)
    staging.unlink()
    return len(rows)
