"""Many studies in a folder: an archive of hearts that nobody has.

    <out>/00000007/images/*.dcm   one folder a seed
                   impression.txt
                   truth.json     for evaluation alone

Rule: the seed decides all of a study, so two archives with the same seeds are the same.
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

#: Which vendor's headers go with a look; the external hospital has a scanner of its own.
VENDORS = {
    "siemens": Vendor.SIEMENS,
    "ge": Vendor.GE,
    "philips": Vendor.PHILIPS,
    "external": Vendor.PHILIPS,
}
EXTERNAL_LOOK = "external"
LONG_AXES = (PhantomView.FOUR_CHAMBER, PhantomView.TWO_CHAMBER, PhantomView.THREE_CHAMBER)
#: What studies with gaps lack, and how often.
GAPS: tuple[tuple[float, frozenset[tuple[PhantomSequence, PhantomView]]], ...] = (
    (0.06, frozenset((PhantomSequence.LGE, view) for view in (PhantomView.SAX, *LONG_AXES))),
    *((0.02, frozenset({(PhantomSequence.LGE, view)})) for view in LONG_AXES),
    (0.03, frozenset({(PhantomSequence.CINE, PhantomView.SAX)})),
)


@dataclass(frozen=True)
class Examination:
    """How a heart was imaged and read."""

    heart: Heart
    look: ScannerLook
    style: ReaderStyle
    missing: frozenset[tuple[PhantomSequence, PhantomView]]

    @property
    def vendor(self) -> Vendor:
        """Return whose headers the images bear."""
        return VENDORS[self.look.name]

    @property
    def impression(self) -> str:
        """Return the reader's words; late enhancement that nobody imaged is not spoken of."""
        late = (PhantomSequence.LGE, PhantomView.SAX) not in self.missing
        return compose_impression(self.heart, self.heart.seed, self.style, late=late)


def draw_examination(
    heart: Heart, look: ScannerLook | None = None, *, gaps: bool = False
) -> Examination:
    """Draw the look, unless one is given, and the reader; with `gaps` some studies lack views."""
    rng = np.random.default_rng([heart.seed, 6])
    usual = [each for name, each in LOOKS.items() if name != EXTERNAL_LOOK]
    chosen = look or usual[rng.integers(len(usual))]
    readers = EXTERNAL if chosen.name == EXTERNAL_LOOK else TRAINING
    style = readers[rng.integers(len(readers))]
    return Examination(heart, chosen, style, _missing(rng.random()) if gaps else frozenset())


def write_study(  # noqa: PLR0913 - each names a choice of the caller
    folder: Path,
    heart: Heart,
    look: ScannerLook | None = None,
    *,
    extras: bool = False,
    enhanced: bool = False,
    gaps: bool = False,
) -> list[Path]:
    """Write the study of a heart, in a drawn look unless one is given; return its images."""
    done = draw_examination(heart, look, gaps=gaps)
    form = dicom.DicomForm(done.vendor, enhanced=enhanced, tesla=done.look.tesla)
    stacks = acquire_stacks(heart, done.look, heart.seed, extras=extras, drop=done.missing)
    return dicom.write_files(folder, stacks, heart, form, done.impression)


def write_archive(
    out: Path,
    seeds: range,
    study: Callable[[Path, Heart], object] = write_study,
    pathologies: tuple[Pathology, ...] | None = None,
    done: Callable[[], None] = lambda: None,
) -> None:
    """Write the studies of some seeds, each in a folder of its own; `done` is told after each."""
    for seed in seeds:
        study(out / f"{seed:08d}", draw_heart(seed, pathologies))
        done()


def _missing(drawn: float) -> frozenset[tuple[PhantomSequence, PhantomView]]:
    for share, stacks in GAPS:
        if drawn < share:
            return stacks
        drawn -= share
    return frozenset()
