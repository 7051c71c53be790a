"""Which share of what it should not know does a bundle call unfamiliar, and of what it should?

Rule: through the worker's own `measure_familiarity`, with the limit that the bundle states; nothing is set
here. Strangers made of hearts are made of those that have every view, so that each differs from its
heart by what its kind says alone.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pydicom import dcmread
from pydicom.errors import InvalidDicomError

from export.ood_calibration import shown
from export.ood_samples import KINDS, still
from export.pairs import Pairs
from export.studies import study_frames
from triage.domain.errors import ConfigurationError, DamagedInstance
from triage.model.bundle import Bundle, ClipForm
from triage.model.out_of_distribution import measure_familiarity
from triage.ports.encoder import Frames

SEED = 0
LEAST_SIDE = 48  #: pixels; what is smaller is no picture of anything
OF_A_FOLDER = 40  #: pictures, at most: the files of one series look alike


class UnfamiliarRate(NamedTuple):
    """How many clips of a kind were called unfamiliar."""

    group: str
    kind: str
    clips: int
    unfamiliar: int


def hearts(pairs: Pairs, name: str, bundle: Bundle) -> UnfamiliarRate:
    """Ask for all hearts of some pairs."""
    return _called("hearts", name, (np.asarray(clip) for clip in pairs.frames), bundle)


def strangers(pairs: Pairs, count: int, bundle: Bundle) -> Iterator[UnfamiliarRate]:
    """Ask for `count` strangers of each kind, or as many as there are hearts with every view."""
    every = len(pairs.form.layout)
    clips = (np.asarray(clip) for clip in pairs.frames)
    whole = [clip for clip in clips if len(shown(clip, pairs.form)) == every][:count]
    for group, kinds in KINDS.items():
        for name, made in kinds.items():
            rng = np.random.default_rng(SEED)
            made_up = (made(clip, pairs.form, rng) for clip in whole)
            yield _called(group, name.replace("_", " "), made_up, bundle)


def pictures(folder: Path, form: ClipForm, bundle: Bundle) -> Iterator[UnfamiliarRate]:
    """Ask for the DICOM files below a folder, each as a clip of its own that fills every slot."""
    found: dict[str, list[Frames]] = {}
    for path in sorted(folder.rglob("*.dcm")):
        try:
            image = dcmread(path)
            pixels = np.asarray(image.pixel_array, np.float64)
        except (InvalidDicomError, AttributeError, ValueError, RuntimeError, NotImplementedError):
            continue  # damaged on purpose, or no image
        if image.get("SamplesPerPixel", 1) > 1:
            pixels = pixels.mean(axis=-1)
        pixels = pixels.reshape(-1, *pixels.shape[-2:])
        if min(pixels.shape[1:]) >= LEAST_SIDE and np.ptp(pixels) > 0:
            kind = f"{image.get('Modality') or 'no modality'}, {path.relative_to(folder).parts[0]}"
            found.setdefault(kind, []).append(still(pixels, form))
    for kind, clips in sorted(found.items()):
        step = -(-len(clips) // OF_A_FOLDER)
        yield _called("pictures of files", kind, clips[::step], bundle)


def studies(folders: Sequence[Path], form: ClipForm, bundle: Bundle) -> Iterator[UnfamiliarRate]:
    """Ask for the studies in some folders, with the views that the worker selects."""
    for folder in folders:
        try:
            clip = study_frames(folder, form)
        except DamagedInstance as error:
            raise ConfigurationError(f"{folder} is no study: {error}") from None
        yield _called("studies of files", folder.name, [clip], bundle)


def page(rows: Sequence[UnfamiliarRate]) -> Iterator[str]:
    """Yield what was found as lines of a Markdown table."""
    yield "| | kind | clips | called unfamiliar |"
    yield "| --- | --- | ---: | ---: |"
    for row in rows:
        share = row.unfamiliar / row.clips
        yield f"| {row.group} | {row.kind} | {row.clips} | {share:.3f} |"


def _called(group: str, kind: str, clips: Iterable[Frames], bundle: Bundle) -> UnfamiliarRate:
    form, asked, unfamiliar = bundle.manifest.clip, 0, 0
    for clip in clips:
        said = measure_familiarity(clip, shown(clip, form), bundle)
        if said is None:
            raise ConfigurationError(
                f"bundle {bundle.path} tells no study from what it knows: calibrate it anew, with"
                " clips whose slots have stated lengths, as export/clips/demo.yaml"
            )
        asked += 1
        unfamiliar += not said.known
    return UnfamiliarRate(group, kind, asked, unfamiliar)
