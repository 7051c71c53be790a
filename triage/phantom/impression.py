"""The impression of a report on a drawn heart, in the phrases of one of several readers.

The content follows from `derive_truth` alone. A positive finding is always stated; a negative one
is denied, called normal, or not mentioned, as readers do. The readers' phrases are in readers/.

Grades: Lang et al., J Am Soc Echocardiogr 2015;28:1 (ejection fraction, wall); Kawel-Boehm et al.,
J Cardiovasc Magn Reson 2020;22:87 (volumes as shares of the upper limit); Isselbacher et al.,
Circulation 2022;146:e334 (aorta). Scar deeper than half of the wall is called transmural
(Kim et al., N Engl J Med 2000;343:1445).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
from numpy.random import Generator

from triage.phantom.heart import (
    ASCENDING_MAX_MM,
    DESCENDING_MAX_MM,
    LV_EDVI_MAX,
    ROOT_MAX_MM,
    RV_EDVI_MAX,
    SEGMENTS,
    SEPTAL,
    Enhancement,
    Heart,
    Scar,
    Truth,
    derive_truth,
)
from triage.phantom.readers import Layout, Reader, ReaderStyle, load_reader

# -- grades

#: Limits between mild, moderate and severe: rising, or falling for ejection fractions.
VOLUME_SHARES = (1.2, 1.4)  #: of the upper limit
LV_EF = (0.41, 0.30)
RV_EF = (0.40, 0.30)
WALL_MM = (14.0, 17.0)
AORTA_MM = (45.0, 50.0)
DESCENDING_MM = (35.0, 40.0)
TRANSMURAL = 0.5  #: share of the wall
APICAL_RATIO = 1.25  #: apex to base: a larger ratio is apical hypertrophy
SEPTAL_RATIO = 1.2  #: septum to free wall: a larger ratio is asymmetric hypertrophy
AKINETIC, HYPOKINETIC = 0.2, 0.7  #: wall motion below these values
BOUNCE = 0.4
EXTENTS = ((3, "small"), (4, "moderate-sized"), (SEGMENTS, "large"))  #: by most segments
FREE_WALL = (4, 5, 10, 11, 15)  #: indices of the segments opposite the septum


def _grade(value: float, limits: tuple[float, float]) -> int:
    """Return 0 mild, 1 moderate, 2 severe."""
    if limits[0] < limits[1]:
        return int(value >= limits[0]) + int(value >= limits[1])
    return int(value < limits[0]) + int(value < limits[1])


# -- location

LEVELS = ("basal", "mid", "apical")
WALLS = (
    "anterior",
    "anteroseptal",
    "inferoseptal",
    "inferior",
    "inferolateral",
    "anterolateral",
)
APICAL_WALLS = ("anterior", "septal", "inferior", "lateral")
VESSELS: Mapping[str, str] = MappingProxyType(
    {"LAD": "left anterior descending", "RCA": "right coronary", "LCX": "circumflex"}
)


def describe_segments(segments: Sequence[int]) -> str:
    """Return segments (indices 0 to 15) as text: "basal and mid anterior and anteroseptal"."""
    walls: dict[tuple[str, ...], list[str]] = {}
    for level, name in enumerate(LEVELS):
        names = APICAL_WALLS if name == "apical" else WALLS
        here = tuple(names[index - 6 * level] for index in sorted(segments) if index // 6 == level)
        if here:
            walls.setdefault(here, []).append(name)
    return ", ".join(f"{_join_and(levels)} {_join_and(here)}" for here, levels in walls.items())


def _join_and(items: Sequence[str]) -> str:
    return " and ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)


# -- content


@dataclass(frozen=True)
class Statement:
    """One statement of an impression."""

    topic: str  #: topic of the phrase
    positive: bool  #: whether the finding is present
    grade: int = 0  #: 0 mild, 1 moderate, 2 severe
    properties: Mapping[str, str] = field(default_factory=dict)  #: fields of the phrase


def list_statements(heart: Heart) -> list[Statement]:
    """Return all statements about a heart in anatomical order; negative ones are optional."""
    truth = derive_truth(heart)
    return [
        *_ventricle_statements(heart, truth),
        *_wall_statements(heart, truth),
        *_motion_statements(heart),
        *_enhancement_statements(heart),
        *_aorta_statements(heart),
        *_conclusions(truth),
    ]


def _ventricle_statements(heart: Heart, truth: Truth) -> list[Statement]:
    shares = {
        "lv": truth.measurements["lv_edvi_ml_m2"] / LV_EDVI_MAX[heart.sex],
        "rv": truth.measurements["rv_edvi_ml_m2"] / RV_EDVI_MAX[heart.sex],
    }
    statements = []
    for side, fraction, limits in (("lv", heart.lv_ef, LV_EF), ("rv", heart.rv_ef, RV_EF)):
        dilated, weak = truth.findings[f"{side}_dilation"], truth.findings[f"{side}_dysfunction"]
        statements += [
            Statement(f"{side}_size", dilated, _grade(shares[side], VOLUME_SHARES)),
            Statement(f"{side}_function", weak, _grade(fraction, limits)),
        ]
    return statements


def _wall_statements(heart: Heart, truth: Truth) -> list[Statement]:
    if not truth.findings["lv_hypertrophy"]:
        return [Statement("wall", positive=False)]
    return [
        Statement("hypertrophy", positive=True),
        Statement(
            _thick_place(heart), positive=True, grade=_grade(float(heart.wall_mm.max()), WALL_MM)
        ),
    ]


def _thick_place(heart: Heart) -> str:
    base, apex = heart.wall_mm[:6].mean(), heart.wall_mm[12:].mean()
    if apex > APICAL_RATIO * base:
        return "apical"
    septal = heart.wall_mm[list(SEPTAL)].mean()
    free = heart.wall_mm[list(FREE_WALL)].mean()
    return "septal" if septal > SEPTAL_RATIO * free else "concentric"


def _motion_statements(heart: Heart) -> list[Statement]:
    statements = []
    for scar in heart.scars:
        motion = float(heart.motion[list(scar.segments)].mean())
        if scar.territory and motion < HYPOKINETIC:
            severe = "dyskinesis" if motion < 0 else "akinesis"
            name = severe if motion < AKINETIC else "hypokinesis"
            properties = {"motion": name} | _scar_properties(scar)
            statements.append(Statement("motion", positive=True, properties=properties))
    if heart.septal_bounce > BOUNCE:
        statements.append(Statement("bounce", positive=True))
    return statements


def _enhancement_statements(heart: Heart) -> list[Statement]:
    if not heart.scars:
        return [Statement("lge", positive=False)]
    return [
        Statement("late", positive=True),
        *(
            Statement(_scar_topic(scar), positive=True, properties=_scar_properties(scar))
            for scar in heart.scars
        ),
    ]


def _scar_topic(scar: Scar) -> str:
    if scar.enhancement is not Enhancement.SUBENDOCARDIAL:
        return str(scar.enhancement)
    return "transmural" if scar.depth > TRANSMURAL else "subendocardial"


def _scar_properties(scar: Scar) -> dict[str, str]:
    return {
        "where": describe_segments(scar.segments),
        "depth": f"{10 * round(10 * scar.depth)}",
        "extent": next(extent for most, extent in EXTENTS if len(scar.segments) <= most),
        "artery": "LCx" if scar.territory == "LCX" else scar.territory,
        "vessel": VESSELS.get(scar.territory, ""),
    }


def _aorta_statements(heart: Heart) -> list[Statement]:
    parts = (
        ("root", heart.root_mm, ROOT_MAX_MM, AORTA_MM),
        ("ascending", heart.ascending_mm, ASCENDING_MAX_MM, AORTA_MM),
        ("descending", heart.descending_mm, DESCENDING_MAX_MM, DESCENDING_MM),
    )
    dilated = [
        Statement(part, positive=True, grade=_grade(mm, limits))
        for part, mm, most, limits in parts
        if mm > most
    ]
    return dilated or [Statement("aorta", positive=False)]


def _conclusions(truth: Truth) -> list[Statement]:
    dilated = truth.findings["lv_dilation"]
    diagnoses = [
        name if name != "nicm" or not dilated else "dcm"
        for name, holds in truth.diagnoses.items()
        if holds and (name != "nicm" or not truth.diagnoses["hcm"])
    ]
    statements = [Statement(name, positive=True) for name in diagnoses]
    if any(truth.findings.values()):
        return statements
    return [*statements, Statement("all", positive=False)]


#: How often size and function of a ventricle are joined, if both are normal or both abnormal.
JOINED = 0.5

#: Topics that a reader may omit although they apply, because another topic states the finding.
OPTIONAL = frozenset(
    {"hypertrophy", "late", "motion", "bounce", "hcm", "amyloid", "icm", "nicm", "dcm"}
)

#: Topics that need images of late enhancement.
FROM_LATE = frozenset(
    {"lge", "late", *map(str, Enhancement), "transmural", "amyloid", "icm", "nicm", "dcm", "all"}
)


# -- text


def compose_impression(heart: Heart, seed: int, style: ReaderStyle, *, late: bool = True) -> str:
    """Return the impression of a report on `heart`; the same seed gives the same text.

    With `late` False there are no images of late enhancement, and topics that need them are
    omitted.
    """
    reader = load_reader(style)
    rng = np.random.default_rng([seed, 4, list(ReaderStyle).index(style)])
    statements = [s for s in list_statements(heart) if late or s.topic not in FROM_LATE]
    statements = _join_ventricles(statements, rng)
    statements = [s for s in statements if rng.random() < _probability(s, reader)]
    if reader.abnormal_first:
        statements.sort(key=lambda statement: not statement.positive)
    measurements = _format_measurements(heart)
    sentences = [_sentence(statement, reader, measurements, rng) for statement in statements]
    return _arrange(sentences, reader.layout)


def _join_ventricles(statements: Sequence[Statement], rng: Generator) -> list[Statement]:
    """Join size and function of a ventricle in one statement if they agree, or keep both.

    If they were always joined, "with systolic dysfunction" alone would imply "not dilated".
    """
    joined = list(statements)
    for side in ("lv", "rv"):
        size, function = (
            next(statement for statement in joined if statement.topic == f"{side}_{topic}")
            for topic in ("size", "function")
        )
        if size.positive == function.positive and rng.random() < JOINED:
            index = joined.index(size)
            joined[index : index + 2] = [Statement(f"{side}_both", size.positive, function.grade)]
    return joined


def _probability(statement: Statement, reader: Reader) -> float:
    if statement.topic in OPTIONAL:
        return reader.mentions_optional
    return 1.0 if statement.positive or statement.topic == "all" else reader.mentions_normal


def _format_measurements(heart: Heart) -> dict[str, str]:
    """Return the measurements as text: ml, ml/m2, percent, mm."""
    measured = derive_truth(heart).measurements
    return {
        "edv": f"{measured['lv_edv_ml']:.0f}",
        "edvi": f"{measured['lv_edvi_ml_m2']:.0f}",
        "ef": f"{100 * heart.lv_ef:.0f}",
        "rvedv": f"{measured['rv_edv_ml']:.0f}",
        "rvedvi": f"{measured['rv_edvi_ml_m2']:.0f}",
        "rvef": f"{100 * heart.rv_ef:.0f}",
        "wall": f"{measured['wall_max_mm']:.0f}",
        "root": f"{heart.root_mm:.0f}",
        "asc": f"{heart.ascending_mm:.0f}",
        "desc": f"{heart.descending_mm:.0f}",
    }


def _sentence(
    statement: Statement, reader: Reader, measurements: Mapping[str, str], rng: Generator
) -> str:
    choices = reader.phrases[statement.topic + ("+" if statement.positive else "-")]
    text = choices[int(rng.integers(len(choices)))].format(
        adv=reader.adverbs[statement.grade],
        adj=reader.adjectives[statement.grade],
        **measurements,
        **statement.properties,
    )
    return text[0].upper() + text[1:]


def _arrange(sentences: Sequence[str], layout: Layout) -> str:
    if layout is Layout.PROSE:
        return " ".join(f"{sentence}." for sentence in sentences)
    if layout is Layout.NUMBERS:
        return "\n".join(f"{n}. {sentence}." for n, sentence in enumerate(sentences, start=1))
    mark = "- " if layout is Layout.DASHES else ""
    return "\n".join(f"{mark}{sentence}" for sentence in sentences)
