"""Out-of-distribution samples: clips that no cardiac MR study yields.

The samples take no part in training or in setting the limit. Each kind is derived from a heart's
clip and a generator alone, so the same seed gives the same samples. Other modalities are drawn from
ellipses and noise, as coarse as the drawn hearts; pixels of real ones come from files (`still`).
Clips have slots of stated length, as `triage.model.out_of_distribution.has_fixed_frames` requires.
"""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image as Raster

from triage.model.bundle import ClipForm
from triage.ports.encoder import Frames

Grey = NDArray[np.float64]  #: 0 to 1
Kind = Callable[[Frames, ClipForm, Generator], Frames]  #: a heart's clip (F, H, W) -> a sample
WHITE = 255


# -- noise


def uniform(clip: Frames, _: ClipForm, rng: Generator) -> Frames:
    """Return noise in which every grey is as frequent."""
    return rng.integers(0, WHITE + 1, clip.shape, np.uint8)


def gaussian(clip: Frames, _: ClipForm, rng: Generator) -> Frames:
    """Return noise about a middle grey."""
    return _frames(rng.normal(rng.uniform(0.2, 0.6), rng.uniform(0.05, 0.25), clip.shape))


def speckle(clip: Frames, _: ClipForm, rng: Generator) -> Frames:
    """Return grains of a few pixels, as ultrasound has them."""
    return _frames(_speckle(clip.shape, rng))


def clouds(clip: Frames, _: ClipForm, rng: Generator) -> Frames:
    """Return blots as large as organs, the same in all frames."""
    blots = _blurred(rng.normal(size=clip.shape[1:]), rng.uniform(4, 10))
    low, high = np.percentile(blots, (1, 99))
    return _frames(np.broadcast_to((blots - low) / (high - low), clip.shape))


def flat(clip: Frames, _: ClipForm, rng: Generator) -> Frames:
    """Return frames of one grey."""
    return np.full_like(clip, rng.integers(20, WHITE))


# -- wrong views, of a true heart


def late_as_cine(clip: Frames, form: ClipForm, rng: Generator) -> Frames:
    """Return the clip with late enhancement in the slots of cines."""
    places = _places(form)
    late = np.concatenate([places[s.view] for s in form.layout if s.kind != "cine"])
    return _filled(clip, form, {"cine": rng.permutation(late)})


def cine_as_late(clip: Frames, form: ClipForm, rng: Generator) -> Frames:
    """Return the clip with phases of cines where late enhancement belongs."""
    places = _places(form)
    cine = np.concatenate([places[s.view] for s in form.layout if s.kind == "cine"])
    return _filled(clip, form, {"stack": rng.permutation(cine), "single": rng.permutation(cine)})


def axes_exchanged(clip: Frames, form: ClipForm, _: Generator) -> Frames:
    """Return the clip with long axes in the slots of short ones, and the other way round."""
    places = _places(form)
    long = {k: v for k, v in places.items() if not k.endswith("_sa")}
    short = {k: v for k, v in places.items() if k.endswith("_sa")}
    changed = clip.copy()
    for kind in ("cine", "lge"):
        ours = np.concatenate([v for k, v in short.items() if k.startswith(kind)])
        theirs = np.concatenate([v for k, v in long.items() if k.startswith(kind)])
        changed[ours] = np.resize(clip[theirs], clip[ours].shape)
        changed[theirs] = np.resize(clip[ours], clip[theirs].shape)
    return changed


def shuffled(clip: Frames, _: ClipForm, rng: Generator) -> Frames:
    """Return the clip with its frames in no order."""
    return clip[rng.permutation(len(clip))]


def one_view(clip: Frames, _: ClipForm, rng: Generator) -> Frames:
    """Return one frame of the heart in every slot."""
    shown = np.flatnonzero(np.any(clip, axis=(1, 2)))
    return np.repeat(clip[rng.choice(shown)][None], len(clip), axis=0)


def beside_the_heart(clip: Frames, _: ClipForm, rng: Generator) -> Frames:
    """Return the clip cut half a field beside the heart."""
    reach = clip.shape[1] // 2
    down, right = rng.choice([-reach, reach]), rng.choice([-reach, reach])
    return np.roll(clip, (down, right), (1, 2))


def turned(clip: Frames, _: ClipForm, rng: Generator) -> Frames:
    """Return the clip turned by a quarter, or by half."""
    around: Frames = np.rot90(clip, int(rng.integers(1, 4)), (1, 2)).copy()
    return around


def negative(clip: Frames, _: ClipForm, __: Generator) -> Frames:
    """Return the clip with black and white exchanged, where there is a picture."""
    changed = clip.copy()
    changed[np.any(clip, axis=(1, 2))] ^= np.uint8(WHITE)
    return changed


# -- one view of a true heart


def one_slot_of_another(clip: Frames, form: ClipForm, rng: Generator) -> Frames:
    """Return the clip with one view's slot filled from another view."""
    places = _places(form)
    ours, theirs = rng.choice([*places], 2, replace=False)
    changed = clip.copy()
    changed[places[ours]] = clip[np.resize(places[theirs], len(places[ours]))]
    return changed


def one_slot_of_noise(clip: Frames, form: ClipForm, rng: Generator) -> Frames:
    """Return the clip with noise in one view's slot."""
    ours = _places(form)[rng.choice([*_places(form)])]
    changed = clip.copy()
    changed[ours] = rng.integers(0, WHITE + 1, changed[ours].shape, np.uint8)
    return changed


# -- poor images of a true heart: the right views at the right place


def noisy(clip: Frames, _: ClipForm, rng: Generator) -> Frames:
    """Return the clip under four times the noise that training added."""
    return _frames(clip / WHITE + rng.normal(0, 0.16, clip.shape))


def blurred(clip: Frames, _: ClipForm, __: Generator) -> Frames:
    """Return the clip as if it had a third of its pixels across and down."""
    return _frames(_blurred(clip / WHITE, 3))


# -- other modalities, drawn


def chest_ct(clip: Frames, _: ClipForm, rng: Generator) -> Frames:
    """Return axial slices of a chest: black lungs with vessels, a grey mediastinum, bright bone."""
    return _frames(np.stack([_chest(clip.shape[1:], rng) for _ in clip]))


def echo(clip: Frames, _: ClipForm, rng: Generator) -> Frames:
    """Return sectors of speckle with a dark cavity that beats."""
    down, right = _grid(clip.shape[1:])
    sector = (np.abs(right) < (down + 1) * 0.6) & (np.hypot(right, down + 1) < 1.9)
    wall = rng.uniform(0.1, 0.5)
    beating = []
    for place, grain in enumerate(_speckle(clip.shape, rng)):
        wide = 0.3 + 0.08 * np.sin(2 * np.pi * place / 3)
        cavity = np.hypot(right / wide, (down - wall) / 0.6) < 1
        beating.append(sector * grain * np.where(cavity, 0.15, 1))
    return _frames(np.stack(beating))


def brain(clip: Frames, _: ClipForm, rng: Generator) -> Frames:
    """Return axial slices of a head: a bright scalp, a dark skull, cortex, dark ventricles."""
    down, right = _grid(clip.shape[1:])
    head = np.hypot(right / rng.uniform(0.65, 0.8), down / rng.uniform(0.8, 0.95))
    folds = _blurred(rng.normal(size=head.shape), 1.5)
    slices = []
    for _frame in clip:
        open_wide = rng.uniform(0.05, 0.15)
        ventricle = np.hypot((np.abs(right) - 0.1) / open_wide, down / 0.3) < 1
        tissue = 0.55 + 0.9 * folds * (head > 0.55) - 0.4 * ventricle
        inside = np.select([head < 0.85, head < 0.93, head < 1], [tissue, 0.05, 0.95], 0.0)
        slices.append(inside + rng.normal(0, 0.02, head.shape))
    return _frames(np.stack(slices))


def radiograph(clip: Frames, _: ClipForm, rng: Generator) -> Frames:
    """Return one chest radiograph in every frame."""
    down, right = _grid(clip.shape[1:])
    lungs = np.hypot((np.abs(right) - 0.42) / 0.3, (down + 0.05) / 0.65) < 1
    ribs = 0.15 * (np.sin(14 * down + 6 * np.abs(right) + rng.uniform(0, 6)) > 0.5)
    heart = np.hypot((right - 0.15) / 0.35, (down - 0.3) / 0.35) < 1
    shown = np.where(lungs & ~heart, 0.2 + ribs, 0.7 + 0.3 * heart + 0.2 * (np.abs(right) < 0.08))
    soft = _blurred(shown, 1.2) + rng.normal(0, 0.02, shown.shape)
    return _frames(np.broadcast_to(soft, clip.shape))


KINDS: Mapping[str, Mapping[str, Kind]] = {
    "noise": {f.__name__: f for f in (uniform, gaussian, speckle, clouds, flat)},
    "another modality, drawn": {f.__name__: f for f in (chest_ct, echo, brain, radiograph)},
    "wrong views": {
        f.__name__: f for f in (late_as_cine, cine_as_late, axes_exchanged, shuffled, one_view)
    },
    "one slot wrong": {f.__name__: f for f in (one_slot_of_another, one_slot_of_noise)},
    "poor images": {f.__name__: f for f in (noisy, blurred)},
    "wrong place": {f.__name__: f for f in (beside_the_heart, turned, negative)},
}


def still(pixels: NDArray[np.float64], form: ClipForm) -> Frames:
    """Return a clip that shows the images (n, H, W) one after another in all frames.

    They are cut, resampled and windowed like a view without geometry.
    """
    side = min(pixels.shape[1:])
    top, left = ((length - side) // 2 for length in pixels.shape[1:])
    low, high = np.percentile(pixels, form.preprocessing.window_percentiles)
    grey = (pixels[:, top : top + side, left : left + side] - low) / max(high - low, 1e-6)
    size = (form.width, form.height)
    small = [
        np.asarray(Raster.fromarray(image.astype(np.float32)).resize(size, Raster.Resampling.BOX))
        for image in grey
    ]
    return _frames(np.stack(small)[np.arange(form.frames) * len(small) // form.frames])


def _places(form: ClipForm) -> dict[str, NDArray[np.int64]]:
    """Return the frame numbers of each view, for slots of stated length."""
    ends = np.cumsum([slot.length or 1 for slot in form.layout])
    return {
        slot.view: np.arange(end - (slot.length or 1), end)
        for slot, end in zip(form.layout, ends, strict=True)
    }


def _filled(clip: Frames, form: ClipForm, sources: Mapping[str, NDArray[np.int64]]) -> Frames:
    """Return the clip with the slots of some kinds filled from other frames of it, in turn."""
    places = _places(form)
    changed = clip.copy()
    for kind, source in sources.items():
        slots = [places[slot.view] for slot in form.layout if slot.kind == kind]
        if slots:
            ours = np.concatenate(slots)
            changed[ours] = clip[np.resize(source, len(ours))]
    return changed


def _chest(shape: tuple[int, ...], rng: Generator) -> Grey:
    down, right = _grid(shape)
    body = np.hypot(right / 0.97, down / rng.uniform(0.65, 0.8)) < 1
    lungs = np.hypot((np.abs(right) - 0.48) / rng.uniform(0.3, 0.38), (down + 0.05) / 0.5) < 1
    heart = np.hypot((right - 0.12) / rng.uniform(0.25, 0.35), (down + 0.1) / 0.3) < 1
    bone = (np.hypot(right / 0.12, (down - 0.5) / 0.12) < 1) | (
        np.abs(np.hypot(right / 0.92, down / 0.65) - 1) < 0.025
    )
    vessels = lungs & (_blurred(rng.normal(size=body.shape), 0.8) > 0.55)
    parts = [~body, bone, heart, vessels, lungs]
    return np.select(parts, [0.0, 1.0, 0.62, 0.55, 0.08], 0.5) + rng.normal(0, 0.02, body.shape)


def _speckle(shape: tuple[int, ...], rng: Generator) -> Grey:
    """Return the amplitude of waves that many scatterers throw back (Rayleigh)."""
    real, imaginary = _blurred(rng.normal(size=(2, *shape)), 1.2)
    amplitude = np.hypot(real, imaginary)
    grey: Grey = amplitude / np.percentile(amplitude, 99)
    return grey


def _blurred(grey: Grey, width: float) -> Grey:
    """Smooth the last two axes by a Gaussian of this width in pixels, cyclically."""
    down, right = (np.fft.fftfreq(length) for length in grey.shape[-2:])
    passed = np.exp(-2 * (np.pi * width) ** 2 * (down[:, None] ** 2 + right**2))
    smooth: Grey = np.fft.ifft2(np.fft.fft2(grey) * passed).real
    return smooth


def _grid(shape: tuple[int, ...]) -> tuple[Grey, Grey]:
    rows, columns = shape
    down, right = np.mgrid[-1 : 1 : rows * 1j, -1 : 1 : columns * 1j]
    return down, right


def _frames(grey: NDArray[np.floating]) -> Frames:
    return np.clip(np.round(grey * WHITE), 0, WHITE).astype(np.uint8)
