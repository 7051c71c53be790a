"""Many synthetic studies in a folder.

    <out>/00000007/images/*.dcm   one folder per seed
                   impression.txt
                   truth.json     for evaluation only

The seed determines everything in a study, so two archives with the same seeds are identical.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from triage.phantom import dicom
from triage.phantom.habits import Vendor
from triage.phantom.heart import Heart, Pathology, draw_heart
from triage.phantom.impression import compose_impression
from triage.phantom.readers import EXTERNAL, TRAINING, ReaderStyle
from triage.phantom.signal import LOOKS, ScannerLook
from triage.phantom.stack import PhantomSequence, PhantomView
from triage.phantom.study import acquire_stacks

#: The vendor of the headers of a look; the external hospital has a separate look.
VENDORS = {
    "siemens": Vendor.SIEMENS,
    "ge": Vendor.GE,
    "philips": Vendor.PHILIPS,
    "external": Vendor.PHILIPS,
}
EXTERNAL_LOOK = "external"
LONG_AXES = (PhantomView.FOUR_CHAMBER, PhantomView.TWO_CHAMBER, PhantomView.THREE_CHAMBER)
#: The stacks missing from studies with gaps, with their probability.
GAPS: tuple[tuple[float, frozenset[tuple[PhantomSequence, PhantomView]]], ...] = (
    (0.06, frozenset((PhantomSequence.LGE, view) for view in (PhantomView.SAX, *LONG_AXES))),
    *((0.02, frozenset({(PhantomSequence.LGE, view)})) for view in LONG_AXES),
    (0.03, frozenset({(PhantomSequence.CINE, PhantomView.SAX)})),
)


@dataclass(frozen=True)
class Examination:
    """How a heart is imaged and reported."""

    heart: Heart
    look: ScannerLook
    style: ReaderStyle
    missing: frozenset[tuple[PhantomSequence, PhantomView]]

    @property
    def vendor(self) -> Vendor:
        """Return the vendor of the images' headers."""
        return VENDORS[self.look.name]

    @property
    def impression(self) -> str:
        """Return the report text, without late enhancement if there are no images of it."""
        late = (PhantomSequence.LGE, PhantomView.SAX) not in self.missing
        return compose_impression(self.heart, self.heart.seed, self.style, late=late)


def draw_examination(
    heart: Heart, look: ScannerLook | None = None, *, gaps: bool = False
) -> Examination:
    """Draw a reader and, unless given, a look; with `gaps` some studies lack views."""
    rng = np.random.default_rng([heart.seed, 6])
    usual = [other for name, other in LOOKS.items() if name != EXTERNAL_LOOK]
    chosen = look or usual[rng.integers(len(usual))]
    readers = EXTERNAL if chosen.name == EXTERNAL_LOOK else TRAINING
    style = readers[rng.integers(len(readers))]
    return Examination(heart, chosen, style, _missing(rng.random()) if gaps else frozenset())


def write_study(  # noqa: PLR0913 - each is a choice of the caller
    folder: Path,
    heart: Heart,
    look: ScannerLook | None = None,
    *,
    extras: bool = False,
    enhanced: bool = False,
    gaps: bool = False,
) -> list[Path]:
    """Write the study of a heart, in a drawn look unless given; return its image files."""
    examination = draw_examination(heart, look, gaps=gaps)
    form = dicom.DicomForm(examination.vendor, enhanced=enhanced, tesla=examination.look.tesla)
    stacks = acquire_stacks(
        heart, examination.look, heart.seed, extras=extras, drop=examination.missing
    )
    return dicom.write_files(folder, stacks, heart, form, examination.impression)


def write_archive(
    out: Path,
    seeds: range,
    study: Callable[[Path, Heart], object] = write_study,
    pathologies: tuple[Pathology, ...] | None = None,
    done: Callable[[], None] = lambda: None,
) -> None:
    """Write the studies of seeds, each in its own folder; `done` is called after each."""
    for seed in seeds:
        study(out / f"{seed:08d}", draw_heart(seed, pathologies))
        done()


def _missing(drawn: float) -> frozenset[tuple[PhantomSequence, PhantomView]]:
    for share, stacks in GAPS:
        if drawn < share:
            return stacks
        drawn -= share
    return frozenset()
