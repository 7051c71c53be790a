"""Real hearts: contoured short-axis frames of the Sunnybrook Cardiac Data (CC0 1.0), as PNG.

The folder has, for some patients, every contoured slice at end diastole and end systole, masks of
the cavity of the left ventricle, and a table with group and ejection fraction. A file is named by
patient and image number; a series has 20 phases of one slice after the other.

Source: Radau et al., Evaluation framework for algorithms segmenting short axis cardiac MRI, The
MIDAS Journal 2009; arranged as in github.com/mshunshin/SegNetCMR.
"""

import csv
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

NAME = re.compile(r"(?P<patient>SC-[A-Z-]+-\d+)-IM-\d+-(?P<number>\d+)\.dcm\.png")
PHASES = 20  #: images of each slice
PIXEL_MM = 1.3672  #: a field of 350 mm, the usual one; the PNG files state none
Slices = Mapping[int, Mapping[int, Path]]  #: files by slice, from base to apex, and by phase


@dataclass(frozen=True)
class RealHeart:
    """The middle short-axis slice of a heart at its extremes."""

    patient: str
    group: str
    ejection_fraction: float | None  #: of 1
    diastole: NDArray[np.float32]  #: (rows, columns)
    systole: NDArray[np.float32]  #: (rows, columns)


def read_heart(folder: Path, patient: str) -> RealHeart:
    """Return the middle of the slices that are contoured at end diastole and at end systole."""
    slices = _list_slices(folder / "images", patient)
    diastole, systole = _find_extremes(folder / "lv_masks", slices)
    complete = [slice_ for slice_ in sorted(slices) if {diastole, systole} <= {*slices[slice_]}]
    middle = slices[complete[len(complete) // 2]]
    with (folder / "patients.csv").open(encoding="utf-8", newline="") as file:
        (row,) = [row for row in csv.DictReader(file) if row["patient"] == patient]
    percent = row["ef_percent"]
    return RealHeart(
        patient,
        row["group"],
        float(percent) / 100 if percent else None,
        _read(middle[diastole]),
        _read(middle[systole]),
    )


def _list_slices(images: Path, patient: str) -> Slices:
    slices: dict[int, dict[int, Path]] = defaultdict(dict)
    for path in images.iterdir():
        found = NAME.fullmatch(path.name)
        if found is not None and found["patient"] == patient:
            slice_, phase = divmod(int(found["number"]) - 1, PHASES)
            slices[slice_][phase] = path
    return slices


def _find_extremes(masks: Path, slices: Slices) -> tuple[int, int]:
    """Return the phases with the largest and the smallest cavity, over all slices."""
    areas: dict[int, float] = defaultdict(float)
    for phases in slices.values():
        for phase, path in phases.items():
            areas[phase] += float(_read(masks / path.name).sum())
    return max(areas, key=areas.__getitem__), min(areas, key=areas.__getitem__)


def _read(path: Path) -> NDArray[np.float32]:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("L"), np.float32)
