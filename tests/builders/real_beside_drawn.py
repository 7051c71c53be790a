"""A contact sheet of real hearts beside drawn ones, as the model sees them.

`python -m tests.builders.real_beside_drawn` writes it to triage/phantom. Each row has a real heart
and two drawn hearts of a similar disease: the middle short-axis slice at end diastole and at end
systole, in the field of view and the window of the frames of the demo bundle. Real frames are
windowed over these two phases, drawn ones over all phases. Only the short axis of the real hearts
is known, so their frames are centred on the image.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from export.phantoms import SLOTS, phantom_views
from tests.builders.sunnybrook import PIXEL_MM, RealHeart, read_heart
from tests.peers import real_data
from triage.imaging.clip import PlacedImage, prepare_frames
from triage.model.bundle import ClipForm, open_bundle
from triage.phantom.archive import Examination, draw_examination
from triage.phantom.heart import Pathology, draw_heart
from triage.phantom.sheet import END_SYSTOLE, TILE, Tile, paste_rows
from triage.phantom.stack import PhantomSequence
from triage.ports.encoder import Frames
from triage.runtime.model import DEMO_BUNDLE

PICTURE = Path(__file__).parents[2] / "triage" / "phantom" / "real-beside-drawn.png"
FOLDER = "sunnybrook_ed_es"  #: of the real data
SOURCE = "Sunnybrook Cardiac Data, CC0 1.0"
PATIENTS = ("SC-HF-I-01", "SC-HF-NI-12", "SC-HF-NI-34", "SC-HYP-01", "SC-N-05", "SC-N-07")
FIRST_SEED = 100  #: of the first drawn heart; each further heart has the next number
DRAWN = 2  #: hearts of a row
COLUMNS = tuple(
    f"{kind}, end {moment}"
    for kind in ("REAL", *["drawn"] * DRAWN)
    for moment in ("diastole", "systole")
)


class Group(NamedTuple):
    """A group of real patients, and the drawn pathology that is most like it."""

    name: str
    pathology: Pathology


GROUPS = {
    "HF-I": Group("heart failure with infarct", Pathology.ISCHAEMIC),
    "HF-NI": Group("heart failure without infarct", Pathology.DILATED),
    "HYP": Group("hypertrophy", Pathology.CONCENTRIC),
    "N": Group("normal", Pathology.NORMAL),
}
#: late enhancement is not shown, so it is not drawn
LATE = frozenset(part for part in SLOTS if part[0] is PhantomSequence.LGE)


def build_sheet(folder: Path, patients: Sequence[str], form: ClipForm) -> Image.Image:
    """Return the sheet: a row for each patient of the folder, with two drawn hearts."""
    return paste_rows(
        [
            _build_row(read_heart(folder, patient), FIRST_SEED + DRAWN * index, form)
            for index, patient in enumerate(patients)
        ],
        COLUMNS,
    )


def frame_real(heart: RealHeart, form: ClipForm) -> Frames:
    """Return end diastole and end systole of a real heart, (2, H, W)."""
    spacing = PIXEL_MM, PIXEL_MM
    images = [PlacedImage(pixels, spacing, None) for pixels in (heart.diastole, heart.systole)]
    return prepare_frames(images, form, None)


def frame_drawn(examined: Examination, form: ClipForm) -> Frames:
    """Return end diastole and end systole of a drawn heart, (2, H, W)."""
    frames = phantom_views(replace(examined, missing=LATE), form)["cine_sa"]
    return frames[[0, round(END_SYSTOLE * len(frames))]]


def draw_like(real: RealHeart, seed: int) -> list[Examination]:
    """Return drawn hearts of the pathology that is most like the disease of a real one."""
    pathologies = (GROUPS[real.group].pathology,)
    return [draw_examination(draw_heart(seed + number, pathologies)) for number in range(DRAWN)]


def describe_row(real: RealHeart, drawn: Sequence[Examination]) -> str:
    """Return the caption of a row: which hearts are real, from where, and which are drawn."""
    group = GROUPS[real.group]
    known = "" if real.ejection_fraction is None else f", EF {real.ejection_fraction:.0%}"
    fractions = " and ".join(f"{each.heart.lv_ef:.0%}" for each in drawn)
    return (
        f"REAL: {real.patient} ({SOURCE}), {group.name}{known}   |   "
        f"drawn: {group.pathology}, EF {fractions}"
    )


def _build_row(real: RealHeart, seed: int, form: ClipForm) -> tuple[str, list[Tile]]:
    drawn = draw_like(real, seed)
    frames = [frame_real(real, form), *(frame_drawn(each, form) for each in drawn)]
    return describe_row(real, drawn), [_enlarge(frame) for pair in frames for frame in pair]


def _enlarge(frame: Tile) -> Tile:
    size = TILE, TILE
    return np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.BICUBIC), np.uint8)


if __name__ == "__main__":
    shown = build_sheet(real_data(FOLDER), PATIENTS, open_bundle(DEMO_BUNDLE).manifest.clip)
    shown.save(PICTURE, optimize=True)
