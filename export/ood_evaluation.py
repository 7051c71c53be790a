"""Measures out-of-distribution detection: which share of each kind of clip is called unfamiliar.

It uses the worker's own `familiarity` with the limit of the bundle and sets nothing. Samples that
are derived from hearts are made from hearts with every view, so that each sample differs from its
heart in the named way alone.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pydicom import dcmread
from pydicom.errors import InvalidDicomError

from export.ood_calibration import views_shown
from export.ood_samples import KINDS, still
from export.pairs import Pairs
from export.studies import study_frames
from triage.domain.errors import ConfigurationError, DamagedInstance
from triage.model.bundle import Bundle, ClipForm
from triage.model.out_of_distribution import measure_familiarity
from triage.ports.encoder import Frames

SEED = 0
LEAST_SIDE = 48  #: pixels; smaller images are ignored
OF_A_FOLDER = 40  #: pictures, at most: the files of one series look alike


class UnfamiliarRate(NamedTuple):
    """The number of clips of a kind that were called unfamiliar."""

    group: str
    kind: str
    clips: int
    unfamiliar: int


def hearts(pairs: Pairs, name: str, bundle: Bundle) -> UnfamiliarRate:
    """Measure the hearts of some pairs."""
    return _count_unfamiliar("hearts", name, map(pairs.clip, range(len(pairs))), bundle)


def synthetic_samples(pairs: Pairs, count: int, bundle: Bundle) -> Iterator[UnfamiliarRate]:
    """Measure `count` samples of each kind, or as many as there are hearts with every view."""
    every = len(pairs.form.layout)
    clips = map(pairs.clip, range(len(pairs)))
    whole = [clip for clip in clips if len(views_shown(clip, pairs.form)) == every][:count]
    for group, kinds in KINDS.items():
        for name, made in kinds.items():
            rng = np.random.default_rng(SEED)
            samples = (made(clip, pairs.form, rng) for clip in whole)
            yield _count_unfamiliar(group, name.replace("_", " "), samples, bundle)


def pictures(folder: Path, form: ClipForm, bundle: Bundle) -> Iterator[UnfamiliarRate]:
    """Measure DICOM files below a folder, each as a clip that fills every slot."""
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
        yield _count_unfamiliar("pictures of files", kind, clips[::step], bundle)


def studies(folders: Sequence[Path], form: ClipForm, bundle: Bundle) -> Iterator[UnfamiliarRate]:
    """Measure the studies in some folders, with the views that the worker selects."""
    for folder in folders:
        try:
            clip = study_frames(folder, form)
        except DamagedInstance as error:
            raise ConfigurationError(f"{folder} is no study: {error}") from None
        yield _count_unfamiliar("studies of files", folder.name, [clip], bundle)


def page(rows: Sequence[UnfamiliarRate]) -> Iterator[str]:
    """Yield the result as lines of a Markdown table."""
    yield "| | kind | clips | called unfamiliar |"
    yield "| --- | --- | ---: | ---: |"
    for row in rows:
        share = row.unfamiliar / row.clips
        yield f"| {row.group} | {row.kind} | {row.clips} | {share:.3f} |"


def _count_unfamiliar(
    group: str, kind: str, clips: Iterable[Frames], bundle: Bundle
) -> UnfamiliarRate:
    form, asked, unfamiliar = bundle.manifest.clip, 0, 0
    for clip in clips:
        result = measure_familiarity(clip, views_shown(clip, form), bundle)
        if result is None:
            raise ConfigurationError(
                f"bundle {bundle.path} has no out-of-distribution limit: calibrate it again, with"
                " clips that have slots of stated length, as export/clips/demo.yaml"
            )
        asked += 1
        unfamiliar += not result.is_known
    return UnfamiliarRate(group, kind, asked, unfamiliar)
