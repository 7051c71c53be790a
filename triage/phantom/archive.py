"""Many studies in a folder: an archive of hearts that nobody has.

    <out>/00000007/images/*.dcm   one folder a seed
                   impression.txt
                   truth.json     for evaluation alone

Rule: the seed decides all of a study, so two archives with the same seeds are the same.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from triage.phantom import dicom
from triage.phantom.habits import Vendor
from triage.phantom.heart import Heart, Pathology, draw
from triage.phantom.impression import EXTERNAL, TRAINING, impression
from triage.phantom.signal import LOOKS, Look
from triage.phantom.study import acquire

#: Which vendor's headers go with a look; the external hospital has a scanner of its own.
VENDORS = {
    "siemens": Vendor.SIEMENS,
    "ge": Vendor.GE,
    "philips": Vendor.PHILIPS,
    "external": Vendor.PHILIPS,
}
EXTERNAL_LOOK = "external"


def write_study(
    folder: Path,
    heart: Heart,
    look: Look | None = None,
    *,
    extras: bool = False,
    enhanced: bool = False,
) -> list[Path]:
    """Write the study of a heart, in a drawn look unless one is given; return its images."""
    rng = np.random.default_rng([heart.seed, 6])
    usual = [each for name, each in LOOKS.items() if name != EXTERNAL_LOOK]
    chosen = look or usual[rng.integers(len(usual))]
    readers = EXTERNAL if chosen.name == EXTERNAL_LOOK else TRAINING
    form = dicom.Form(VENDORS[chosen.name], enhanced=enhanced, tesla=chosen.tesla)
    stacks = acquire(heart, chosen, heart.seed, extras=extras)
    text = impression(heart, heart.seed, readers[rng.integers(len(readers))])
    return dicom.write(folder, stacks, heart, form, text)


def write_archive(
    out: Path,
    seeds: range,
    study: Callable[[Path, Heart], object] = write_study,
    pathologies: tuple[Pathology, ...] | None = None,
    done: Callable[[], None] = lambda: None,
) -> None:
    """Write the studies of some seeds, each in a folder of its own; `done` is told after each."""
    for seed in seeds:
        study(out / f"{seed:08d}", draw(seed, pathologies))
        done()
