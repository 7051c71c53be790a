"""The stacks of a study, rendered from a heart and the look of a scanner.

Every stack has its own random generator, and so has every slice of it, so that rendering a part of
a study gives the same pixels as rendering the whole. The parts that do not beat are painted once
per slice; each phase paints only the heart, within its bounding rectangle.
"""

from collections.abc import Container, Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from triage.phantom import signal
from triage.phantom.anatomy import Anatomy
from triage.phantom.heart import Heart
from triage.phantom.scene import Scene
from triage.phantom.signal import Contrast, ScannerLook, SignalScaling
from triage.phantom.stack import PhantomSequence, PhantomSlice, PhantomStack, PhantomView
from triage.phantom.tissue import Field, Samples
from triage.phantom.views import PixelGrid, ViewPlane, plan_planes, spacing_mm

REST = 0.74  #: phase of late enhancement and of all other sequences acquired at rest


class StudyPart(NamedTuple):
    """A part of a study."""

    sequence: PhantomSequence
    view: PhantomView
    #: only the slice that the worker takes as the middle; of two, the one nearer to the base
    middle: bool = False


#: The parts of a study that the model uses.
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
    """How one stack is acquired."""

    sequence: PhantomSequence
    view: PhantomView
    moments: tuple[PhaseImage, ...]
    kind: SignalScaling = SignalScaling.MAGNITUDE
    noise: float = 1.0  #: relative to a cine
    thickness_mm: float = 8.0
    coarse: float = 1.0  #: pixel size relative to a cine
    slices: int | None = None
    banding: bool = False
    velocity: bool = False
    inversion_ms: float | None = None
    #: echo time (ms), repetition time (ms), flip angle (degrees)
    timing: tuple[float, float, float] = field(default=(1.5, 3.0, 50.0))


def acquire_stacks(  # noqa: PLR0913 - each is a choice of the caller
    heart: Heart,
    look: ScannerLook,
    seed: int,
    *,
    extras: bool = False,
    drop: Container[tuple[PhantomSequence, PhantomView]] = (),
    only: tuple[StudyPart, ...] | None = None,
) -> tuple[PhantomStack, ...]:
    """Return the stacks of a study, in the order of a protocol.

    `extras` adds localizers, TI scout, maps, perfusion, flow and T2-weighted images. Stacks in
    `drop` are omitted. If `only` is given, only these parts are rendered, with the same pixels as
    in the whole study.
    """
    anatomy = Anatomy(heart)
    look = signal.vary_look(look, np.random.default_rng([seed, 3]))
    stacks = []
    for number, recipe in enumerate(_protocol(heart, look, seed, extras=extras)):
        parts = [part for part in only or () if part[:2] == (recipe.sequence, recipe.view)]
        if (recipe.sequence, recipe.view) in drop or (only is not None and not parts):
            continue
        middle = bool(parts) and all(part.middle for part in parts)
        stacks.append(_stack(anatomy, look, recipe, (seed, 4, number), middle=middle))
    return tuple(stacks)


def _protocol(heart: Heart, look: ScannerLook, seed: int, *, extras: bool) -> Iterator[StackRecipe]:
    """Yield the recipes; core stacks come first, so that extras do not change their pixels."""
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
    """Return one slice at rising inversion times, which are the trigger times of its images."""
    times = np.linspace(80, 600, look.phases)
    moments = tuple(
        PhaseImage(float(time), REST, signal.inversion_contrast(heart, float(time)))
        for time in times
    )
    return StackRecipe(
        PhantomSequence.TI_SCOUT, PhantomView.SAX, moments, noise=2.0, coarse=1.25, slices=1
    )


def _maps() -> Iterator[StackRecipe]:
    for index, sequence in enumerate((PhantomSequence.T1_MAP, PhantomSequence.T2_MAP)):
        moments = (PhaseImage(0.0, REST, signal.map_contrast(index)),)
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
    """Yield magnitude and velocity images through the great vessels."""
    cycle = 60_000 / heart.heart_rate_bpm
    phases = [step / look.phases for step in range(look.phases)]
    for velocity in (0, 1):
        moments = tuple(
            PhaseImage(phase * cycle, phase, signal.flow_contrasts(phase)[velocity])
            for phase in phases
        )
        yield StackRecipe(
            PhantomSequence.FLOW,
            PhantomView.AXIAL,
            moments,
            SignalScaling.SIGNED if velocity else SignalScaling.MAGNITUDE,
            noise=0.5,
            slices=1,
            velocity=bool(velocity),
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
            _render_slice(anatomy, look, recipe, planned[index].samples(grid), (*seed, index)),
        )
        for index in chosen
    )
    return _build_stack(recipe, planned, grid, slices)


def _build_stack(
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


def _render_slice(
    anatomy: Anatomy,
    look: ScannerLook,
    recipe: StackRecipe,
    samples: Samples,
    seed: tuple[int, ...],
) -> NDArray[np.uint16]:
    """Render one slice, (moments, rows, columns)."""
    rng = np.random.default_rng(seed)
    shade = _shade(anatomy, look, recipe, samples, rng)
    scene = Scene(anatomy, samples)
    noise = 0.03 if recipe.kind is SignalScaling.MAP else look.noise * recipe.noise
    signed = recipe.kind is not SignalScaling.MAGNITUDE
    values = np.stack(
        [
            scene.values(moment.contrast, moment.phase, shade, signed=signed)
            for moment in recipe.moments
        ]
    )
    if recipe.banding and look.ghosts:
        values = signal.add_ghosts(values, look.ghosts)
    return np.stack(
        [signal.detect_pixels(image, recipe.kind, noise, look.brightness, rng) for image in values]
    )


def _shade(
    anatomy: Anatomy, look: ScannerLook, recipe: StackRecipe, samples: Samples, rng: Generator
) -> Field:
    if recipe.kind is SignalScaling.MAP or recipe.velocity:
        return np.ones(samples.patient.shape[1:], np.float32)
    shade = signal.coil_sensitivity(anatomy, samples, look, rng)
    if recipe.banding:
        return shade * signal.banding_field(anatomy, samples, look, rng)
    return np.sqrt(shade)  # such images usually have coil correction
