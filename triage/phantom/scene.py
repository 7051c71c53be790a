"""One slice of a study: the chest painted once per contrast, the heart at each phase."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from triage.phantom.anatomy import Anatomy
from triage.phantom.beating_heart import HeartSamples
from triage.phantom.chest import paint_chest
from triage.phantom.signal import Contrast, paint_layers
from triage.phantom.tissue import Field, Layer, Samples


class Scene:
    """A slice: the chest is painted once for each contrast, the heart at each phase."""

    def __init__(self, anatomy: Anatomy, samples: Samples) -> None:
        self._anatomy, self._samples = anatomy, samples
        self._window = _heart_window(anatomy, samples)
        rows, columns = self._window
        near = replace(samples, patient=samples.patient[:, rows, columns])
        self._heart = HeartSamples(anatomy, near) if near.patient.size else None
        self._chest: list[Layer] = []
        self._beat: tuple[float, list[Layer]] | None = None
        self._painted: tuple[Contrast, Field] | None = None

    def values(self, contrast: Contrast, phase: float, shade: Field, *, signed: bool) -> Field:
        """Return the signal without noise at a phase, (rows, columns)."""
        scene = self._background(contrast).copy()
        if self._heart is not None:
            paint_layers(self._layers(self._heart, phase), contrast, scene[self._window])
        if not signed:
            np.abs(scene, out=scene)
        scene *= shade
        return scene

    def _background(self, contrast: Contrast) -> Field:
        if self._painted is None or self._painted[0] is not contrast:
            self._chest = self._chest or list(paint_chest(self._anatomy, self._samples))
            empty = np.full(self._samples.patient.shape[1:], contrast[0], np.float32)
            self._painted = contrast, paint_layers(self._chest, contrast, empty)
        return self._painted[1]

    def _layers(self, heart: HeartSamples, phase: float) -> list[Layer]:
        if self._beat is None or self._beat[0] != phase:
            self._beat = phase, list(heart.layers(phase))
        return self._beat[1]


def _heart_window(anatomy: Anatomy, samples: Samples) -> tuple[slice, slice]:
    """Return the rows and columns near the heart."""
    place = anatomy.to_heart(samples.inner)
    low, high = anatomy.bounds
    limits = zip(place, low, high, strict=True)
    near = np.logical_and.reduce([(axis > least) & (axis < most) for axis, least, most in limits])
    return _true_range(near.any(axis=1)), _true_range(near.any(axis=0))


def _true_range(hits: NDArray[np.bool_]) -> slice:
    where = np.flatnonzero(hits)
    return slice(int(where[0]), int(where[-1]) + 1) if where.size else slice(0, 0)


def label_tissues(anatomy: Anatomy, samples: Samples, phase: float) -> NDArray[np.uint8]:
    """Return the prevailing tissue of each sample at a phase, (rows, columns)."""
    label = np.zeros(samples.patient.shape[1:], np.uint8)
    heart = HeartSamples(anatomy, samples)
    for tissue, share in (*paint_chest(anatomy, samples), *heart.layers(phase)):
        label[share > 0.5] = tissue  # noqa: PLR2004 - more than half
    return label
