"""From tissue to pixels: the contrast of each sequence, coils, noise, and the look of a scanner.

Contrasts are tables over tissues, in units of the blood signal of a cine. An inversion recovery is
computed from relaxation times at the inversion time that nulls healthy myocardium, so that late
enhancement, its phase-sensitive form and the TI scout are consistent. Fat is negative if fat and
water are opposed (balanced SSFP at a short echo), which draws the dark outlines between them.

Sources: relaxation times after contrast about as in Kellman and Arai, J Magn Reson Imaging
2012;36:529; opposed phase in balanced SSFP: Hargreaves, J Magn Reson Imaging 2012;36:1300; Rician
noise: Gudbjartsson and Patz, Magn Reson Med 1995;34:910.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from triage.phantom.anatomy import Anatomy
from triage.phantom.habitus import vary_signals
from triage.phantom.heart import Enhancement, Heart
from triage.phantom.tissue import Field, Layer, Samples, Tissue

Contrast = Field  #: (tissues,)
TWELVE_BITS = 4095
MIDDLE = 2048  #: stored value of zero in a signed image


class SignalScaling(StrEnum):
    """How signal values are converted to pixels."""

    MAGNITUDE = "magnitude"  #: coil shading, Rician noise
    SIGNED = "signed"  #: coil shading, Gaussian noise about the middle grey
    MAP = "map"  #: the values themselves


@dataclass(frozen=True)
class ScannerLook:
    """The properties of a scanner and protocol that affect every image."""

    name: str
    tesla: float
    rows: int
    columns: int
    fov_mm: float  #: along the longer side, which has the columns
    phases: int
    noise: float  #: of a cine, in units of its blood signal
    shading: float  #: by the coils: 0 corrected, 1 strong
    contrast: float  #: between blood and myocardium, 1 usual
    soft: float  #: width of an edge in pixels
    brightness: float  #: pixel value of blood
    phase_sensitive: bool  #: whether late enhancement is PSIR
    ghosts: float = 0.0  #: of what moves, a third of the field away, as a share of it

    @property
    def pixel_mm(self) -> float:
        """Return the spacing of pixels."""
        return round(self.fov_mm / self.columns, 3)  # as a header states it


LOOKS: Mapping[str, ScannerLook] = MappingProxyType(
    {
        look.name: look
        for look in (
            ScannerLook(
                "siemens", 3.0, 192, 224, 350, 25, 0.030, 0.9, 1.0, 1.25, 360, phase_sensitive=True
            ),
            ScannerLook(
                "ge", 1.5, 224, 224, 360, 20, 0.035, 0.5, 0.95, 1.4, 1500, phase_sensitive=False
            ),
            ScannerLook(
                "philips", 1.5, 208, 208, 330, 30, 0.028, 0.35, 1.05, 1.3, 800, phase_sensitive=True
            ),
            ScannerLook(
                "external",
                1.5,
                192,
                192,
                380,
                24,
                0.060,
                0.7,
                0.85,
                1.5,
                2100,
                phase_sensitive=False,
            ),
        )
    }
)


def vary_look(look: ScannerLook, rng: Generator) -> ScannerLook:
    """Return a look with the random variation of one examination."""
    return replace(
        look,
        fov_mm=float(np.clip(look.fov_mm * rng.uniform(0.92, 1.1), 300, 400)),
        noise=look.noise * float(rng.uniform(0.7, 1.5)),
        shading=look.shading * float(rng.uniform(0.5, 1.3)),
        contrast=look.contrast * float(rng.uniform(0.9, 1.1)),
        brightness=look.brightness * float(rng.uniform(0.8, 1.2)),
        soft=look.soft * float(rng.uniform(0.9, 1.9)),
        ghosts=float(rng.uniform(0, 0.5) ** 2),
    )


CINE: Mapping[Tissue, float] = MappingProxyType(
    {
        Tissue.AIR: 0.0,
        Tissue.LUNG: 0.05,
        Tissue.FAT: -0.95,
        Tissue.MUSCLE: 0.22,
        Tissue.BONE: -0.30,
        Tissue.FLUID: 1.1,
        Tissue.LIVER: 0.31,
        Tissue.SPLEEN: 0.42,
        Tissue.STOMACH: 0.20,
        Tissue.MYOCARDIUM: 0.30,
        Tissue.PAPILLARY: 0.32,
        Tissue.SCAR: 0.33,
        Tissue.RIGHT_WALL: 0.24,
        Tissue.LV: 1.0,
        Tissue.RV: 0.93,
        Tissue.LEFT_ATRIUM: 0.95,
        Tissue.RIGHT_ATRIUM: 0.90,
        Tissue.ASCENDING: 0.98,
        Tissue.DESCENDING: 0.90,
        Tissue.PULMONARY: 0.82,
        Tissue.VEIN: 0.75,
        Tissue.STREAM: 0.35,
    }
)
#: T1 in ms ten minutes after contrast, and proton density with all other signal weights.
AFTER_CONTRAST: Mapping[Tissue, tuple[float, float]] = MappingProxyType(
    {
        Tissue.AIR: (500.0, 0.0),
        Tissue.LUNG: (500.0, 0.08),
        Tissue.FAT: (240.0, 0.6),
        Tissue.MUSCLE: (520.0, 0.9),
        Tissue.BONE: (290.0, 0.5),
        Tissue.FLUID: (2000.0, 0.3),
        Tissue.LIVER: (375.0, 1.0),
        Tissue.SPLEEN: (360.0, 1.0),
        Tissue.STOMACH: (500.0, 0.8),
        Tissue.MYOCARDIUM: (430.0, 1.0),
        Tissue.PAPILLARY: (430.0, 1.0),
        Tissue.SCAR: (265.0, 1.0),
        Tissue.RIGHT_WALL: (420.0, 0.9),
    }
)
BLOOD_AFTER_CONTRAST = 325.0
BLOOD_IN_AMYLOID = 405.0  #: contrast agent has moved from the blood to the wall
#: Native T1 and T2 in ms at 1.5 T.
NATIVE: Mapping[Tissue, tuple[float, float]] = MappingProxyType(
    {
        Tissue.AIR: (0.0, 0.0),
        Tissue.LUNG: (0.0, 0.0),
        Tissue.FAT: (350.0, 120.0),
        Tissue.MUSCLE: (900.0, 35.0),
        Tissue.BONE: (500.0, 60.0),
        Tissue.FLUID: (2600.0, 250.0),
        Tissue.LIVER: (590.0, 46.0),
        Tissue.SPLEEN: (1030.0, 70.0),
        Tissue.STOMACH: (1100.0, 60.0),
        Tissue.MYOCARDIUM: (1000.0, 49.0),
        Tissue.PAPILLARY: (1010.0, 50.0),
        Tissue.SCAR: (1130.0, 56.0),
        Tissue.RIGHT_WALL: (1010.0, 50.0),
    }
)
BLOOD_NATIVE = (1600.0, 200.0)
BLOOD = tuple(tissue for tissue in Tissue if tissue >= Tissue.LV)


def cine_contrast(look: ScannerLook, rng: Generator) -> Contrast:
    """Return balanced SSFP contrast: bright blood, dark muscle, fat opposed to water.

    Blood is between two and three and a half times as bright as the wall, in the right ventricle
    often less than in the left: flip angle, repetition time and flow decide (as measured in the
    Sunnybrook cardiac data).
    """
    table = np.array([CINE[tissue] for tissue in Tissue]) * rng.normal(1, 0.03, len(Tissue))
    solid = [Tissue.MYOCARDIUM, Tissue.PAPILLARY, Tissue.SCAR, Tissue.RIGHT_WALL]
    table[solid] *= rng.uniform(0.95, 1.65) / look.contrast
    table[[Tissue.RV, Tissue.RIGHT_ATRIUM]] *= rng.uniform(0.72, 1.02)
    vary_signals(table, rng)
    return table.astype(np.float32)


def null_time_ms() -> float:
    """Return the inversion time at which healthy myocardium gives no signal."""
    return float(np.log(2) * AFTER_CONTRAST[Tissue.MYOCARDIUM][0])


def inversion_contrast(heart: Heart, inversion_ms: float) -> Contrast:
    """Return the signed signal after an inversion, ten minutes after contrast agent.

    Scar is about 1 at the null time of the myocardium.
    """
    diffuse = any(scar.enhancement is Enhancement.DIFFUSE for scar in heart.scars)
    blood = BLOOD_IN_AMYLOID if diffuse else BLOOD_AFTER_CONTRAST
    pairs = np.array([AFTER_CONTRAST.get(tissue, (blood, 1.0)) for tissue in Tissue])
    signal = pairs[:, 1] * (1 - 2 * np.exp(-inversion_ms / pairs[:, 0])) / 0.33
    return np.asarray(signal, np.float32)


def scout_contrast() -> Contrast:
    """Return single-shot balanced SSFP contrast."""
    return (np.array([CINE[tissue] for tissue in Tissue]) * 0.9).astype(np.float32)


def map_contrast(kind: int) -> Contrast:
    """Return the values of a map: native T1 in ms (0), or T2 in tenths of a millisecond (1)."""
    table = np.array([NATIVE.get(tissue, BLOOD_NATIVE)[kind] for tissue in Tissue])
    return (table * (1, 10)[kind]).astype(np.float32)


def black_blood_contrast() -> Contrast:
    """Return T2-weighted turbo spin echo contrast after double inversion: no blood signal."""
    table = np.array([NATIVE.get(tissue, (1.0, 1e-3))[1] for tissue in Tissue])
    weighted = np.where(table > 1, np.exp(-60 / np.maximum(table, 1)) * 1.6, 0.03)
    return weighted.astype(np.float32)


def perfusion_contrast(time_s: float) -> Contrast:
    """Return saturation recovery contrast as the bolus passes right heart, lungs, left heart."""
    table = np.array([0.14 * CINE[tissue] for tissue in Tissue])
    table[Tissue.FAT] = 0.35
    right = {Tissue.RV, Tissue.RIGHT_ATRIUM, Tissue.VEIN}
    for tissue in BLOOD:
        delay = 6.0 if tissue in right else 9.0 if tissue == Tissue.PULMONARY else 13.0
        table[tissue] = 0.12 + 0.95 * _bolus(time_s - delay, 3.0)
    for tissue, peak in ((Tissue.MYOCARDIUM, 0.42), (Tissue.SCAR, 0.22), (Tissue.LIVER, 0.3)):
        table[tissue] = 0.06 + peak * _bolus(time_s - 15.0, 7.0)
    table[Tissue.PAPILLARY] = table[Tissue.RIGHT_WALL] = table[Tissue.MYOCARDIUM]
    return table.astype(np.float32)


def _bolus(time_s: float, rise_s: float) -> float:
    """Return a gamma-like curve, 1 at its peak, with a tail of recirculation."""
    if time_s <= 0:
        return 0.0
    return float((time_s / rise_s) ** 2 * np.exp(2 * (1 - time_s / rise_s))) * 0.75 + 0.25 * min(
        1.0, time_s / (2 * rise_s)
    )


def flow_contrasts(phase: float) -> tuple[Contrast, Contrast]:
    """Return phase contrast magnitude, and velocity through an axial plane (1 at the limit)."""
    magnitude = np.array([abs(CINE[tissue]) * 0.4 for tissue in Tissue])
    velocity = np.zeros(len(Tissue))
    jet = float(np.sin(np.pi * phase / 0.35) ** 2) if phase < 0.35 else -0.02  # noqa: PLR2004
    magnitude[list(BLOOD)] = 0.5 + 0.5 * abs(jet)
    velocity[Tissue.ASCENDING] = 0.65 * jet
    velocity[Tissue.PULMONARY] = 0.45 * jet
    velocity[Tissue.DESCENDING] = -0.6 * jet
    velocity[Tissue.VEIN] = -0.12
    return magnitude.astype(np.float32), velocity.astype(np.float32)


def paint_layers(layers: Iterable[Layer], contrast: Contrast, below: Field) -> Field:
    """Paint layers over an image in place, and return it."""
    for tissue, cover in layers:
        below += cover * (contrast[tissue] - below)
    return below


def coil_sensitivity(
    anatomy: Anatomy, samples: Samples, look: ScannerLook, rng: Generator
) -> Field:
    """Return the sensitivity of chest and back coils, about 1 at the heart, (rows, columns)."""
    x, y, z = samples.patient
    deep = anatomy.half_mm[1]
    tilt = rng.normal(0, 0.0012, 2)
    front = 1.5 * np.exp(-(y + deep) / np.float32(60))
    back = 1.1 * np.exp((y - deep) / np.float32(55))
    along = np.exp(-(((z - anatomy.centre[2]) / np.float32(210)) ** 2))
    shade = (0.62 + front + back) * along * (1 + tilt[0] * x + tilt[1] * z)
    field: Field = np.clip(1 + look.shading * (shade - 1), 0.08, 3.0).astype(np.float32)
    return field


def banding_field(anatomy: Anatomy, samples: Samples, look: ScannerLook, rng: Generator) -> Field:
    """Return dark bands of balanced SSFP off resonance near skin and lung, (rows, columns)."""
    x, _, z = samples.patient
    level = anatomy.depth(samples.patient) ** 2
    wave = np.float32(0.16) * np.cos(x / 41 + z / 37 + rng.uniform(0, 6))
    off = np.float32(0.33 * look.tesla**0.6) * level * level + wave * level
    field: Field = np.clip(np.abs(np.cos(np.pi * off)) * 2.2, 0.12, 1).astype(np.float32)
    return field


def add_ghosts(images: Field, strength: float) -> Field:
    """Return images (moments, rows, columns) with ghosts of what moves between them.

    They lie a third of the field away, up and down, as irregular beats leave them in a segmented
    acquisition.
    """
    moving = images - images.mean(axis=0)
    third = images.shape[1] // 3
    ghosts = np.roll(moving, third, axis=1) + np.roll(moving, -third, axis=1)
    return np.asarray(images + np.float32(strength) * ghosts, np.float32)


def detect_pixels(
    values: Field, kind: SignalScaling, noise: float, brightness: float, rng: Generator
) -> NDArray[np.uint16]:
    """Add noise and return 12-bit pixels."""
    shape = values.shape
    if kind is SignalScaling.MAP:
        stored = values * (1 + np.float32(noise) * rng.standard_normal(shape, np.float32))
    elif kind is SignalScaling.SIGNED:
        noisy = values + np.float32(noise) * rng.standard_normal(shape, np.float32)
        stored = noisy * np.float32(brightness) + np.float32(MIDDLE)
    else:
        real = rng.standard_normal(shape, np.float32)
        imaginary = rng.standard_normal(shape, np.float32)
        real *= np.float32(noise)
        imaginary *= np.float32(noise)
        real += values
        stored = np.sqrt(real * real + imaginary * imaginary)
        stored *= np.float32(brightness)
    return np.clip(stored + np.float32(0.5), 0, TWELVE_BITS).astype(np.uint16)
