"""A heart and a scanner's look become the stacks of a study.

Rule: every stack draws from a generator of its own (seed, sequence, view), every slice from one of
its own below that, so that rendering a part gives the very pixels of the whole. What does not beat
is painted once for each slice; each phase paints the heart alone, within its bounding rectangle.
"""

from collections.abc import Container, Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from triage.phantom import signal
from triage.phantom.anatomy import Anatomy, Field, HeartSamples, Layer, Samples
from triage.phantom.heart import Heart
from triage.phantom.signal import Contrast, ScannerLook, SignalScaling
from triage.phantom.stack import PhantomSequence, PhantomSlice, PhantomStack, PhantomView
from triage.phantom.views import PixelGrid, ViewPlane, plan_planes, spacing_mm

REST = 0.74  #: phase of late enhancement and of all else that is taken at rest


class StudyPart(NamedTuple):
    """A part of a study."""

    sequence: PhantomSequence
    view: PhantomView
    #: of a stack the slice alone that the worker takes for its middle: of two, that nearer the base
    middle: bool = False


#: What the model looks at.
MODEL_VIEWS = (
    StudyPart(PhantomSequence.CINE, PhantomView.FOUR_CHAMBER),
    StudyPart(PhantomSequence.CINE, PhantomView.SAX, middle=True),
    StudyPart(PhantomSequence.LGE, PhantomView.SAX),
    StudyPart(PhantomSequence.LGE, PhantomView.FOUR_CHAMBER),
    StudyPart(PhantomSequence.LGE, PhantomView.TWO_CHAMBER),
    StudyPart(PhantomSequence.LGE, PhantomView.THREE_CHAMBER),
)


class PhaseImage(NamedTuple):
    """One image of a slice."""

    time_ms: float
    phase: float  #: of the cycle, 0 to 1
    contrast: Contrast


@dataclass(frozen=True)
class StackRecipe:
    """How one stack is taken."""

    sequence: PhantomSequence
    view: PhantomView
    moments: tuple[PhaseImage, ...]
    kind: SignalScaling = SignalScaling.MAGNITUDE
    noise: float = 1.0  #: over that of a cine
    thickness_mm: float = 8.0
    coarse: float = 1.0  #: pixel size over that of a cine
    slices: int | None = None
    banding: bool = False
    velocity: bool = False
    inversion_ms: float | None = None
    timing: tuple[float, float, float] = field(default=(1.5, 3.0, 50.0))  #: echo, repetition, flip


def acquire_stacks(  # noqa: PLR0913 - each names a choice of the caller
    heart: Heart,
    look: ScannerLook,
    seed: int,
    *,
    extras: bool = False,
    drop: Container[tuple[PhantomSequence, PhantomView]] = (),
    only: tuple[StudyPart, ...] | None = None,
) -> tuple[PhantomStack, ...]:
    """Return the stacks of a study, in the order of a protocol.

    With `extras` come localizers, TI scout, maps, perfusion, flow and T2-weighted images. Stacks
    in `drop` are missing; of `only` nothing else is rendered, with the pixels of the whole study.
    """
    anatomy = Anatomy(heart)
    look = signal.vary_look(look, np.random.default_rng([seed, 3]))
    stacks = []
    for number, recipe in enumerate(_protocol(heart, look, seed, extras=extras)):
        wanted = [want for want in only or () if want[:2] == (recipe.sequence, recipe.view)]
        if (recipe.sequence, recipe.view) in drop or (only is not None and not wanted):
            continue
        middle = bool(wanted) and all(want.middle for want in wanted)
        stacks.append(_stack(anatomy, look, recipe, (seed, 4, number), middle=middle))
    return tuple(stacks)


def _protocol(heart: Heart, look: ScannerLook, seed: int, *, extras: bool) -> Iterator[StackRecipe]:
    """The core comes first, so that its numbers, and pixels, do not depend on the extras."""
    rng = np.random.default_rng([seed, 5])
    yield from _cines(heart, look, rng)
    yield from _late(heart, look, rng)
    if extras:
        yield from _localizers()
        yield _inversion_scout(heart, look)
        yield from _maps()
        yield _perfusion(heart)
        yield from _flows(heart, look)
        black = signal.black_blood_contrast()
        yield StackRecipe(
            PhantomSequence.T2W,
            PhantomView.SAX,
            (PhaseImage(0.0, REST, black),),
            slices=5,
            timing=(60.0, 1500.0, 180.0),
        )


def _cines(heart: Heart, look: ScannerLook, rng: Generator) -> Iterator[StackRecipe]:
    cycle = 60_000 / heart.heart_rate_bpm
    contrast = signal.cine_contrast(look, rng)
    moments = tuple(
        PhaseImage(cycle * phase / look.phases, phase / look.phases, contrast)
        for phase in range(look.phases)
    )
    sax = StackRecipe(PhantomSequence.CINE, PhantomView.SAX, moments, banding=True)
    for view in (PhantomView.FOUR_CHAMBER, PhantomView.TWO_CHAMBER, PhantomView.THREE_CHAMBER):
        yield replace(sax, view=view, thickness_mm=6.0)
    yield sax


def _late(heart: Heart, look: ScannerLook, rng: Generator) -> Iterator[StackRecipe]:
    inversion = signal.null_time_ms() + float(rng.normal(0, 6))
    contrast = signal.inversion_contrast(heart, inversion)
    cycle = 60_000 / heart.heart_rate_bpm
    sax = StackRecipe(
        PhantomSequence.LGE,
        PhantomView.SAX,
        (PhaseImage(REST * cycle, REST, contrast),),
        kind=SignalScaling.SIGNED if look.phase_sensitive else SignalScaling.MAGNITUDE,
        noise=1.5,
        inversion_ms=inversion,
        timing=(2.0, 6.0, 25.0),
    )
    yield sax
    for view in (PhantomView.FOUR_CHAMBER, PhantomView.TWO_CHAMBER, PhantomView.THREE_CHAMBER):
        yield replace(sax, view=view)


def _localizers() -> Iterator[StackRecipe]:
    moments = (PhaseImage(0.0, REST, signal.scout_contrast()),)
    for view in (PhantomView.AXIAL, PhantomView.CORONAL, PhantomView.SAGITTAL):
        yield StackRecipe(
            PhantomSequence.LOCALIZER, view, moments, noise=1.6, coarse=1.25, slices=5
        )


def _inversion_scout(heart: Heart, look: ScannerLook) -> StackRecipe:
    """One slice at rising inversion times, which stand as the times of its images."""
    times = np.linspace(80, 600, look.phases)
    moments = tuple(
        PhaseImage(float(time), REST, signal.inversion_contrast(heart, float(time)))
        for time in times
    )
    return StackRecipe(
        PhantomSequence.TI_SCOUT, PhantomView.SAX, moments, noise=2.0, coarse=1.25, slices=1
    )


def _maps() -> Iterator[StackRecipe]:
    for which, sequence in enumerate((PhantomSequence.T1_MAP, PhantomSequence.T2_MAP)):
        moments = (PhaseImage(0.0, REST, signal.map_contrast(which)),)
        yield StackRecipe(
            sequence, PhantomView.SAX, moments, SignalScaling.MAP, slices=3, timing=(1.1, 2.7, 35.0)
        )


def _perfusion(heart: Heart) -> StackRecipe:
    cycle = 60_000 / heart.heart_rate_bpm
    moments = tuple(
        PhaseImage(beat * cycle, REST, signal.perfusion_contrast(beat * cycle / 1000))
        for beat in range(40)
    )
    return StackRecipe(
        PhantomSequence.PERFUSION, PhantomView.SAX, moments, noise=1.5, coarse=1.3, slices=3
    )


def _flows(heart: Heart, look: ScannerLook) -> Iterator[StackRecipe]:
    """Magnitude and velocity through the great vessels."""
    cycle = 60_000 / heart.heart_rate_bpm
    phases = [step / look.phases for step in range(look.phases)]
    for which in (0, 1):
        moments = tuple(
            PhaseImage(phase * cycle, phase, signal.flow_contrasts(phase)[which])
            for phase in phases
        )
        yield StackRecipe(
            PhantomSequence.FLOW,
            PhantomView.AXIAL,
            moments,
            SignalScaling.SIGNED if which else SignalScaling.MAGNITUDE,
            noise=0.5,
            slices=1,
            velocity=bool(which),
            thickness_mm=6.0,
            timing=(2.5, 5.0, 15.0),
        )


def _stack(
    anatomy: Anatomy, look: ScannerLook, recipe: StackRecipe, seed: tuple[int, ...], *, middle: bool
) -> PhantomStack:
    rng = np.random.default_rng(seed)
    planned = plan_planes(anatomy, recipe.view, rng, recipe.slices)
    grid = PixelGrid(
        int(look.rows / recipe.coarse) // 8 * 8,
        int(look.columns / recipe.coarse) // 8 * 8,
        look.pixel_mm * recipe.coarse,
        recipe.thickness_mm,
        look.soft,
    )
    chosen = [(len(planned) - 1) // 2] if middle else range(len(planned))
    slices = tuple(
        PhantomSlice(
            planned[index].position(grid),
            _pixels(anatomy, look, recipe, planned[index].samples(grid), (*seed, index)),
        )
        for index in chosen
    )
    return _labelled(recipe, planned, grid, slices)


def _labelled(
    recipe: StackRecipe, planned: list[ViewPlane], grid: PixelGrid, slices: tuple[PhantomSlice, ...]
) -> PhantomStack:
    echo, repetition, flip = recipe.timing
    return PhantomStack(
        sequence=recipe.sequence,
        view=recipe.view,
        row=planned[0].row,
        column=planned[0].column,
        pixel_mm=grid.pixel_mm,
        thickness_mm=grid.thickness_mm,
        gap_mm=max(0.0, spacing_mm(planned) - grid.thickness_mm),
        times_ms=tuple(moment.time_ms for moment in recipe.moments),
        slices=slices,
        inversion_ms=recipe.inversion_ms,
        echo_ms=echo,
        repetition_ms=repetition,
        flip_deg=flip,
        velocity=recipe.velocity,
    )


def _pixels(
    anatomy: Anatomy,
    look: ScannerLook,
    recipe: StackRecipe,
    samples: Samples,
    seed: tuple[int, ...],
) -> NDArray[np.uint16]:
    """Render one slice, (moments, rows, columns)."""
    rng = np.random.default_rng(seed)
    shade = _shade(anatomy, look, recipe, samples, rng)
    scene = _Scene(anatomy, samples)
    flat = recipe.kind is SignalScaling.MAP
    noise = 0.03 if flat else look.noise * recipe.noise
    return np.stack(
        [
            signal.detect_pixels(
                scene.values(moment, shade, signed=recipe.kind is not SignalScaling.MAGNITUDE),
                recipe.kind,
                noise,
                look.brightness,
                rng,
            )
            for moment in recipe.moments
        ]
    )


def _shade(
    anatomy: Anatomy, look: ScannerLook, recipe: StackRecipe, samples: Samples, rng: Generator
) -> Field:
    if recipe.kind is SignalScaling.MAP or recipe.velocity:
        return np.ones(samples.patient.shape[1:], np.float32)
    shade = signal.coil_sensitivity(anatomy, samples, look, rng)
    if recipe.banding:
        return shade * signal.banding_field(anatomy, samples, look, rng)
    return np.sqrt(shade)  # such images are usually corrected for the coils


class _Scene:
    """A slice whose chest is painted once for each contrast, its heart at each phase."""

    def __init__(self, anatomy: Anatomy, samples: Samples) -> None:
        self._anatomy, self._samples = anatomy, samples
        self._window = _window(anatomy, samples)
        rows, columns = self._window
        near = replace(samples, patient=samples.patient[:, rows, columns])
        self._heart = HeartSamples(anatomy, near) if near.patient.size else None
        self._chest: list[Layer] = []
        self._beat: tuple[float, list[Layer]] | None = None
        self._painted: tuple[Contrast, Field] | None = None

    def values(self, moment: PhaseImage, shade: Field, *, signed: bool) -> Field:
        """Return the signal without noise, (rows, columns)."""
        scene = self._background(moment.contrast).copy()
        if self._heart is not None:
            within = scene[self._window]
            signal.paint_layers(self._layers(self._heart, moment.phase), moment.contrast, within)
        if not signed:
            np.abs(scene, out=scene)
        scene *= shade
        return scene

    def _background(self, contrast: Contrast) -> Field:
        if self._painted is None or self._painted[0] is not contrast:
            self._chest = self._chest or list(self._anatomy.chest(self._samples))
            empty = np.full(self._samples.patient.shape[1:], contrast[0], np.float32)
            self._painted = contrast, signal.paint_layers(self._chest, contrast, empty)
        return self._painted[1]

    def _layers(self, heart: HeartSamples, phase: float) -> list[Layer]:
        if self._beat is None or self._beat[0] != phase:
            self._beat = phase, list(heart.layers(phase))
        return self._beat[1]


def _window(anatomy: Anatomy, samples: Samples) -> tuple[slice, slice]:
    """Return the rows and columns near the heart."""
    place = anatomy.to_heart(samples.inner)
    low, high = anatomy.bounds
    limits = zip(place, low, high, strict=True)
    near = np.logical_and.reduce([(axis > least) & (axis < most) for axis, least, most in limits])
    return _extent(near.any(axis=1)), _extent(near.any(axis=0))


def _extent(hits: NDArray[np.bool_]) -> slice:
    where = np.flatnonzero(hits)
    return slice(int(where[0]), int(where[-1]) + 1) if where.size else slice(0, 0)
