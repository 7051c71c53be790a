"""A drawn heart (size, walls, motion, scars, vessels), and the truth derived from it.

Labels follow from the drawn numbers by published cut-offs, never the reverse, so that a borderline
heart is borderline in the images too. Ranges: Kawel-Boehm et al., J Cardiovasc
Magn Reson 2020;22:87 (volumes, ejection fractions, mass, aorta by CMR); wall thickness: ESC 2023
cardiomyopathy guidelines (hypertrophic from 15 mm). Millimetres, millilitres, fractions.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

#: AHA segments without the apex: 6 basal (1-6), 6 mid (7-12), 4 apical (13-16); J Am Soc
#: Echocardiogr 2002. Index 0 is segment 1, basal anterior; counter-clockwise seen from the apex:
#: anterior, anteroseptal, inferoseptal, inferior, inferolateral, anterolateral.
SEGMENTS = 16
SEPTAL = (1, 2, 7, 8, 13)  #: indices of the septal segments
#: Indices of the segments that each coronary artery supplies (AHA 2002).
TERRITORIES: Mapping[str, tuple[int, ...]] = MappingProxyType(
    {
        "LAD": (0, 1, 6, 7, 12, 13),
        "RCA": (2, 3, 8, 9, 14),
        "LCX": (4, 5, 10, 11, 15),
    }
)
Segments = NDArray[np.float64]  #: (16,)


class Sex(StrEnum):
    """The sex, on which the normal ranges depend."""

    FEMALE = "F"
    MALE = "M"


class Pathology(StrEnum):
    """The pathology of a drawn heart; a heart may have several."""

    NORMAL = "normal"
    DILATED = "dilated cardiomyopathy"
    HYPERTROPHIC = "hypertrophic cardiomyopathy"
    CONCENTRIC = "concentric hypertrophy"
    AMYLOID = "amyloid-like"
    ISCHAEMIC = "ischaemic scar"
    NON_ISCHAEMIC = "patchy non-ischaemic enhancement"
    RIGHT_HEART = "right ventricular disease"
    AORTA = "aortic dilation"


class Enhancement(StrEnum):
    """The distribution of late enhancement in the wall."""

    SUBENDOCARDIAL = "subendocardial"  #: from the cavity outwards, as far as `depth`
    MIDWALL = "midwall"  #: a stripe or patch within the wall
    DIFFUSE = "diffuse"  #: everywhere, patchy, with a dark blood pool


@dataclass(frozen=True)
class Scar:
    """Late enhancement of some segments."""

    enhancement: Enhancement
    segments: tuple[int, ...]  #: indices, 0 to 15
    depth: float  #: share of the wall's thickness, 0 to 1
    territory: str = ""  #: LAD, RCA or LCX if the scar is ischaemic, else empty


@dataclass(frozen=True)
class Heart:
    """All properties of a heart that the images show."""

    seed: int
    pathologies: tuple[Pathology, ...]
    sex: Sex
    body_surface_m2: float
    heart_rate_bpm: float
    lv_edv_ml: float
    lv_ef: float
    wall_mm: Segments  #: end-diastolic thickness of each segment
    motion: Segments  #: thickening of each segment, 1 normal, 0 akinetic, below 0 dyskinetic
    rv_edv_ml: float
    rv_ef: float
    septal_bounce: float  #: 0 none, 1 strong
    root_mm: float
    ascending_mm: float
    descending_mm: float
    fat_mm: float  #: thickness of the pericardial fat
    scars: tuple[Scar, ...] = ()


#: Upper limits of the indexed end-diastolic volumes, ml/m2, and of the aorta, mm.
LV_EDVI_MAX = {Sex.FEMALE: 96.0, Sex.MALE: 105.0}
RV_EDVI_MAX = {Sex.FEMALE: 112.0, Sex.MALE: 121.0}
LV_EF_MIN = 0.55
RV_EF_MIN = 0.50
WALL_MAX_MM = 12.0
ROOT_MAX_MM = 40.0
ASCENDING_MAX_MM = 40.0
DESCENDING_MAX_MM = 30.0
HYPERTROPHIC_MM = 15.0


@dataclass(frozen=True)
class Truth:
    """The truth of a heart: the seven published findings by id, diagnoses and measurements."""

    findings: Mapping[str, bool]
    diagnoses: Mapping[str, bool]
    measurements: Mapping[str, float] = field(default_factory=dict)


def derive_truth(heart: Heart) -> Truth:
    """Return findings, diagnoses and measurements that follow from the drawn numbers."""
    findings = _derive_findings(heart)
    return Truth(findings, _derive_diagnoses(heart, findings), _measurements(heart))


def _derive_findings(heart: Heart) -> dict[str, bool]:
    return {
        "lv_dysfunction": heart.lv_ef < LV_EF_MIN,
        "rv_dysfunction": heart.rv_ef < RV_EF_MIN,
        "lv_dilation": heart.lv_edv_ml / heart.body_surface_m2 > LV_EDVI_MAX[heart.sex],
        "rv_dilation": heart.rv_edv_ml / heart.body_surface_m2 > RV_EDVI_MAX[heart.sex],
        "lv_hypertrophy": float(heart.wall_mm.max()) > WALL_MAX_MM,
        "lge": bool(heart.scars),
        "aortic_dilation": heart.root_mm > ROOT_MAX_MM
        or heart.ascending_mm > ASCENDING_MAX_MM
        or heart.descending_mm > DESCENDING_MAX_MM,
    }


def _derive_diagnoses(heart: Heart, findings: Mapping[str, bool]) -> dict[str, bool]:
    kinds = {scar.enhancement for scar in heart.scars}
    weak = findings["lv_dysfunction"]
    thick = float(heart.wall_mm.max()) >= HYPERTROPHIC_MM
    return {
        "hcm": Pathology.HYPERTROPHIC in heart.pathologies and thick,
        "amyloid": Enhancement.DIFFUSE in kinds,
        "icm": Enhancement.SUBENDOCARDIAL in kinds and weak,
        "nicm": weak and not kinds & {Enhancement.SUBENDOCARDIAL, Enhancement.DIFFUSE},
    }


def _measurements(heart: Heart) -> dict[str, float]:
    return {
        "lv_edv_ml": heart.lv_edv_ml,
        "lv_edvi_ml_m2": heart.lv_edv_ml / heart.body_surface_m2,
        "lv_ef": heart.lv_ef,
        "rv_edv_ml": heart.rv_edv_ml,
        "rv_edvi_ml_m2": heart.rv_edv_ml / heart.body_surface_m2,
        "rv_ef": heart.rv_ef,
        "wall_max_mm": float(heart.wall_mm.max()),
        "root_mm": heart.root_mm,
        "ascending_mm": heart.ascending_mm,
        "descending_mm": heart.descending_mm,
    }


#: Probability of each pathology, and of a second one in addition (SECOND).
FREQUENCIES: Mapping[Pathology, float] = MappingProxyType(
    {
        Pathology.NORMAL: 0.22,
        Pathology.DILATED: 0.13,
        Pathology.HYPERTROPHIC: 0.10,
        Pathology.CONCENTRIC: 0.09,
        Pathology.AMYLOID: 0.07,
        Pathology.ISCHAEMIC: 0.14,
        Pathology.NON_ISCHAEMIC: 0.08,
        Pathology.RIGHT_HEART: 0.10,
        Pathology.AORTA: 0.07,
    }
)
SECOND = 0.3
APICAL = 0.15  #: share of hypertrophic hearts whose apex is thick, and not their septum
#: Pathologies that can be added to any other; the rest exclude each other.
ADDITIONAL = (Pathology.RIGHT_HEART, Pathology.AORTA, Pathology.NON_ISCHAEMIC)


def draw_heart(seed: int, pathologies: tuple[Pathology, ...] | None = None) -> Heart:
    """Return the heart of a seed, with given pathologies or ones drawn by probability."""
    rng = np.random.default_rng([seed, 1])
    drawn = _pathologies(rng)
    heart = _normal(seed, rng, drawn if pathologies is None else pathologies)
    for pathology in heart.pathologies:
        heart = _CHANGES[pathology](heart, rng)
    return heart


def _pathologies(rng: Generator) -> tuple[Pathology, ...]:
    weights = np.array([*FREQUENCIES.values()])
    first = [*FREQUENCIES][rng.choice(len(weights), p=weights / weights.sum())]
    others = [other for other in ADDITIONAL if other is not first]
    if first is Pathology.NORMAL or rng.random() > SECOND:
        return (first,)
    return first, others[rng.integers(len(others))]


def _normal(seed: int, rng: Generator, pathologies: tuple[Pathology, ...]) -> Heart:
    sex = Sex.MALE if rng.random() < 0.5 else Sex.FEMALE  # noqa: PLR2004 - a coin
    male = sex is Sex.MALE
    bsa = _between(rng, 1.7, 2.3) if male else _between(rng, 1.45, 2.0)
    wall = _between(rng, 7.0, 10.5) if male else _between(rng, 6.0, 9.5)
    return Heart(
        seed=seed,
        pathologies=pathologies,
        sex=sex,
        body_surface_m2=bsa,
        heart_rate_bpm=_between(rng, 52, 92),
        lv_edv_ml=bsa * (_between(rng, 62, 100) if male else _between(rng, 58, 91)),
        lv_ef=_between(rng, 0.57, 0.73),
        wall_mm=wall * (1 + rng.normal(0, 0.06, SEGMENTS)),
        motion=np.clip(rng.normal(1, 0.06, SEGMENTS), 0.8, 1.2),
        rv_edv_ml=bsa * (_between(rng, 68, 114) if male else _between(rng, 60, 104)),
        rv_ef=_between(rng, 0.53, 0.68),
        septal_bounce=0.0,
        root_mm=_between(rng, 29, 38),
        ascending_mm=_between(rng, 26, 37),
        descending_mm=_between(rng, 19, 27),
        fat_mm=_between(rng, 1, 6),
    )


def _keep(heart: Heart, _rng: Generator) -> Heart:
    return heart


def _dilated(heart: Heart, rng: Generator) -> Heart:
    return replace(
        heart,
        lv_edv_ml=heart.body_surface_m2 * LV_EDVI_MAX[heart.sex] * _between(rng, 1.0, 2.0),
        lv_ef=_between(rng, 0.15, 0.52),
        wall_mm=heart.wall_mm * _between(rng, 0.75, 0.95),
        septal_bounce=_between(rng, 0.4, 1) if rng.random() < 0.3 else 0.0,  # noqa: PLR2004
    )


def _hypertrophic(heart: Heart, rng: Generator) -> Heart:
    """Thicken the septum, or the apex, sometimes with a patch of scar in it."""
    wall = heart.wall_mm.copy()
    if rng.random() < APICAL:
        thick = _between(rng, 13, 22)
        wall[12:] = thick * (1 + rng.normal(0, 0.05, 4))
        wall[6:12] += (thick - wall[6:12]) * _between(rng, 0.2, 0.7)
    else:
        wall[list(SEPTAL)] = _between(rng, 12.5, 25) * (1 + rng.normal(0, 0.05, len(SEPTAL)))
        wall[[0, 3, 6, 9]] = (wall[[0, 3, 6, 9]] + wall[1]) / 2  # neighbours of the septum
    scarred = rng.random() < 0.5  # noqa: PLR2004
    patch = Scar(Enhancement.MIDWALL, (1, 2, 7), _between(rng, 0.3, 0.6))
    return replace(
        heart,
        wall_mm=wall,
        lv_edv_ml=heart.lv_edv_ml * _between(rng, 0.75, 1.0),
        lv_ef=_between(rng, 0.58, 0.78),
        scars=(*heart.scars, patch) if scarred else heart.scars,
    )


def _concentric(heart: Heart, rng: Generator) -> Heart:
    wall = _between(rng, 12.0, 17.0) * (1 + rng.normal(0, 0.04, SEGMENTS))
    return replace(heart, wall_mm=wall, lv_ef=_between(rng, 0.5, 0.7))


def _amyloid(heart: Heart, rng: Generator) -> Heart:
    scar = Scar(Enhancement.DIFFUSE, tuple(range(SEGMENTS)), _between(rng, 0.5, 1.0))
    return replace(
        heart,
        wall_mm=_between(rng, 12.5, 19.0) * (1 + rng.normal(0, 0.04, SEGMENTS)),
        lv_edv_ml=heart.lv_edv_ml * _between(rng, 0.75, 1.0),
        lv_ef=_between(rng, 0.38, 0.62),
        rv_ef=_between(rng, 0.38, 0.58),
        scars=(*heart.scars, scar),
    )


def _ischaemic(heart: Heart, rng: Generator) -> Heart:
    """Scar one territory from the inside outwards; its segments are thin and move little."""
    territory = [*TERRITORIES][rng.choice(3, p=[0.5, 0.3, 0.2])]
    segments = TERRITORIES[territory][: int(rng.integers(3, 7))]
    depth = _between(rng, 0.35, 1.0)
    wall, motion = heart.wall_mm.copy(), heart.motion.copy()
    wall[list(segments)] *= 1 - 0.35 * depth
    motion[list(segments)] = _between(rng, -0.2, 0.5)
    large = len(segments) * depth / SEGMENTS  # scarred share of the wall
    dilated = 1 + large * _between(rng, 0.5, 2.0)
    return replace(
        heart,
        wall_mm=wall,
        motion=motion,
        lv_edv_ml=heart.lv_edv_ml * dilated,
        lv_ef=max(0.15, min(heart.lv_ef, 0.62) - large * _between(rng, 0.4, 1.1)),
        scars=(*heart.scars, Scar(Enhancement.SUBENDOCARDIAL, segments, depth, territory)),
    )


def _non_ischaemic(heart: Heart, rng: Generator) -> Heart:
    start = int(rng.integers(0, 12))
    ring = 6 * (start // 6)
    segments = tuple(ring + (start + step) % 6 for step in range(int(rng.integers(2, 5))))
    scar = Scar(Enhancement.MIDWALL, segments, _between(rng, 0.25, 0.6))
    return replace(heart, lv_ef=heart.lv_ef * _between(rng, 0.75, 1.0), scars=(*heart.scars, scar))


def _right_heart(heart: Heart, rng: Generator) -> Heart:
    """Dilate the right ventricle, weaken it, or both."""
    effect = rng.integers(3)  # 0 dilated, 1 weak, 2 both
    dilated = heart.body_surface_m2 * RV_EDVI_MAX[heart.sex] * _between(rng, 1.0, 1.9)
    return replace(
        heart,
        rv_edv_ml=heart.rv_edv_ml if effect == 1 else dilated,
        rv_ef=heart.rv_ef if effect == 0 else _between(rng, 0.18, 0.47),
        septal_bounce=_between(rng, 0.5, 1) if effect == 2 else heart.septal_bounce,  # noqa: PLR2004
    )


def _aorta(heart: Heart, rng: Generator) -> Heart:
    root, ascending, descending = (
        _between(rng, 40, 56),
        _between(rng, 40, 60),
        _between(rng, 30, 45),
    )
    return [
        replace(heart, ascending_mm=ascending),
        replace(heart, root_mm=root),
        replace(heart, root_mm=root, ascending_mm=ascending),
        replace(heart, root_mm=root, ascending_mm=ascending, descending_mm=descending),
    ][rng.integers(4)]


def _between(rng: Generator, low: float, high: float) -> float:
    return float(rng.uniform(low, high))


_CHANGES: Mapping[Pathology, Callable[[Heart, Generator], Heart]] = MappingProxyType(
    {
        Pathology.NORMAL: _keep,
        Pathology.DILATED: _dilated,
        Pathology.HYPERTROPHIC: _hypertrophic,
        Pathology.CONCENTRIC: _concentric,
        Pathology.AMYLOID: _amyloid,
        Pathology.ISCHAEMIC: _ischaemic,
        Pathology.NON_ISCHAEMIC: _non_ischaemic,
        Pathology.RIGHT_HEART: _right_heart,
        Pathology.AORTA: _aorta,
    }
)
