"""Makes pairs from drawn hearts directly, without writing DICOM files.

The clip of a heart equals that of its DICOM study: rendering, cropping, window and order of frames
are those that `export.studies` finds through files and view selection, in a fifth of the time; a
test compares the two. Views that an archived study lacks (`gaps`) are missing here too, and a
finding without any of its views has no label, because the worker would report it as Not Evaluated.
"""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from export.pairs import write_pairs
from triage.config import Settings
from triage.findings.loader import load_findings
from triage.imaging.clip import PlacedImage, join_views, prepare_frames
from triage.imaging.geometry import Plane, Vector, image_centre, meeting_point
from triage.model.bundle import ClipForm
from triage.phantom.archive import EXTERNAL_LOOK, Examination, draw_examination
from triage.phantom.heart import derive_truth, draw_heart
from triage.phantom.signal import LOOKS
from triage.phantom.stack import PhantomSequence, PhantomStack, PhantomView
from triage.phantom.study import MODEL_VIEWS, acquire_stacks
from triage.ports.encoder import Frames

#: The slot of the model that each stack fills.
SLOTS: Mapping[tuple[PhantomSequence, PhantomView], str] = {
    (PhantomSequence.CINE, PhantomView.FOUR_CHAMBER): "cine_lax",
    (PhantomSequence.CINE, PhantomView.SAX): "cine_sa",
    (PhantomSequence.LGE, PhantomView.SAX): "lge_sa",
    (PhantomSequence.LGE, PhantomView.FOUR_CHAMBER): "lge_lax",
    (PhantomSequence.LGE, PhantomView.TWO_CHAMBER): "lge_2ch",
    (PhantomSequence.LGE, PhantomView.THREE_CHAMBER): "lge_3ch",
}


def write_phantoms(  # noqa: PLR0913 - each argument is a choice of the caller
    out: Path,
    seeds: range,
    form: ClipForm,
    *,
    external: bool = False,
    phases: int | None = None,
    workers: int = 1,
    done: Callable[[], None] = lambda: None,
) -> int:
    """Write the pairs of the hearts of some seeds; `done` is called after each. Returns the number.

    `external` hearts come from another hospital: its scanner, its noise, its readers. `phases` are
    those of each cine; by default as many as the scanner takes, which takes longer to draw.
    """
    make = partial(phantom_pair, form=form, external=external, phases=phases)
    return write_pairs(out, _pairs(seeds, make, workers, done), len(seeds), form)


def phantom_pair(
    seed: int, form: ClipForm, *, external: bool, phases: int | None = None
) -> tuple[Frames, dict[str, str]]:
    """Return the clip of a seed's heart, (n <= F, H, W), and its row of the table."""
    examined = draw_examination(
        draw_heart(seed), LOOKS[EXTERNAL_LOOK] if external else None, gaps=True
    )
    if phases is not None:
        examined = replace(examined, look=replace(examined.look, phases=phases))
    views = phantom_views(examined, form)
    return join_views(views, form), {
        "id": f"{seed:08d}",
        "impression": examined.impression,
        "vendor": str(examined.vendor),
        "tesla": f"{examined.look.tesla:g}",
        "reader": str(examined.style),
        "missing": ", ".join(sorted({*SLOTS.values()} - {*views})) or "none",
        **_labels(examined, frozenset(views)),
    }


def phantom_views(examined: Examination, form: ClipForm) -> dict[str, Frames]:
    """Return the frames of each view of a heart's study."""
    heart = examined.heart
    stacks = acquire_stacks(
        heart, examined.look, heart.seed, drop=examined.missing, only=MODEL_VIEWS
    )
    pictures = {SLOTS[one.sequence, one.view]: _pictures(one) for one in stacks}
    order = [slot.view for slot in form.layout if slot.view in pictures]
    meeting = meeting_point([_middle(pictures[view]) for view in order])
    return {view: prepare_frames(pictures[view], form, meeting) for view in order}


def _pairs(
    seeds: range,
    make: Callable[[int], tuple[Frames, dict[str, str]]],
    workers: int,
    done: Callable[[], None],
) -> Iterator[tuple[Frames, dict[str, str]]]:
    # "spawn": a fork of a process with torch threads can deadlock.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for pair in pool.map(make, seeds, chunksize=8):
            yield pair
            done()


def _pictures(one: PhantomStack) -> list[PlacedImage]:
    """Return the images that the worker uses: phases of a cine, or one image of every slice."""
    spacing = one.pixel_mm, one.pixel_mm
    placed = [
        (Plane(slice_.position, one.row, one.column), slice_.pixels.astype(np.float32))
        for slice_ in one.slices
    ]
    placed.sort(key=lambda at: float(at[0].position @ at[0].normal))
    if one.sequence is PhantomSequence.LGE:
        return [PlacedImage(pixels[0], spacing, plane) for plane, pixels in placed]
    plane, phases = placed[len(placed) // 2]
    return [PlacedImage(pixels, spacing, plane) for pixels in phases]


def _middle(pictures: list[PlacedImage]) -> tuple[Plane, Vector]:
    picture = pictures[len(pictures) // 2]
    assert picture.plane is not None  # noqa: S101 - `_pictures` always states one
    rows, columns = picture.pixels.shape
    return picture.plane, image_centre(picture.plane, (rows, columns), picture.spacing_mm)


def _labels(examined: Examination, views: frozenset[str]) -> dict[str, str]:
    known = derive_truth(examined.heart)
    shown = {
        finding.id: views & {*finding.views}
        for finding in load_findings(Settings().findings).findings
    }
    late = "lge_sa" in views
    findings = {
        id_: str(int(holds)) if shown.get(id_, views) else ""
        for id_, holds in known.findings.items()
    }
    return findings | {
        name: str(int(holds)) if late else "" for name, holds in known.diagnoses.items()
    }
