"""The truth of a heart becomes the impression of a report, in the words of several readers.

Rule: what is said follows from `derive_truth` alone. A positive finding is always said, and affirmed; a
negative one is denied, called normal, or passed over in silence, as readers do. Every reader
(`ReaderStyle`) has words of their own; those of the EXTERNAL ones occur with no other, so that a model
can be tested on wordings that it never saw.

Grades: Lang et al., J Am Soc Echocardiogr 2015;28:1 (ejection fraction, wall); Kawel-Boehm et al.,
J Cardiovasc Magn Reson 2020;22:87 (volumes as shares of the upper limit); Isselbacher et al.,
Circulation 2022;146:e334 (aorta). Scar deeper than half of the wall is called transmural
(Kim et al., N Engl J Med 2000;343:1445). Vocabulary: prompts published with CMR-CLIP.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

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


class ReaderStyle(StrEnum):
    """A reader: their words, how much they say of what is normal, and how they set it out."""

    PUBLISHED = "published"
    NUMBERED = "numbered"
    NARRATIVE = "narrative"
    MEASURED = "measured"
    STRUCTURED = "structured"
    ACADEMIC = "academic"
    TELEGRAPHIC = "telegraphic"
    EXTERNAL_LETTER = "external letter"
    EXTERNAL_LIST = "external list"


EXTERNAL = (ReaderStyle.EXTERNAL_LETTER, ReaderStyle.EXTERNAL_LIST)
TRAINING = tuple(style for style in ReaderStyle if style not in EXTERNAL)

# -- grades

#: Limits between mild, moderate and severe: rising, or falling for ejection fractions.
VOLUME_SHARES = (1.2, 1.4)  #: of the upper limit
LV_EF = (0.41, 0.30)
RV_EF = (0.40, 0.30)
WALL_MM = (14.0, 17.0)
AORTA_MM = (45.0, 50.0)
DESCENDING_MM = (35.0, 40.0)
TRANSMURAL = 0.5  #: share of the wall
SEPTAL_RATIO = 1.2  #: septum to free wall: above it hypertrophy is asymmetric
AKINETIC, HYPOKINETIC = 0.2, 0.7  #: wall motion below it
BOUNCE = 0.4
EXTENTS = ((3, "small"), (4, "moderate-sized"), (SEGMENTS, "large"))  #: up to so many segments


def _grade(value: float, limits: tuple[float, float]) -> int:
    """Return 0 mild, 1 moderate, 2 severe."""
    if limits[0] < limits[1]:
        return int(value >= limits[0]) + int(value >= limits[1])
    return int(value < limits[0]) + int(value < limits[1])


# -- where

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
    """Return segments (indices, 0 to 15) in words: "basal and mid anterior and anteroseptal"."""
    walls: dict[tuple[str, ...], list[str]] = {}
    for level, name in enumerate(LEVELS):
        names = APICAL_WALLS if name == "apical" else WALLS
        here = tuple(names[index - 6 * level] for index in sorted(segments) if index // 6 == level)
        if here:
            walls.setdefault(here, []).append(name)
    return ", ".join(f"{_and(levels)} {_and(here)}" for here, levels in walls.items())


def _and(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


# -- what there is to say


@dataclass(frozen=True)
class Point:
    """One thing to say: the topic of the phrase, the finding it tells of, and its numbers."""

    topic: str
    positive: bool
    grade: int = 0
    words: Mapping[str, str] = field(default_factory=dict)


def points(heart: Heart) -> list[Point]:
    """Return what can be said of a heart, in the order of anatomy; negatives may be passed over."""
    known = derive_truth(heart)
    return [
        *_ventricles(heart, known),
        *_wall(heart, known),
        *_motion(heart),
        *_enhancement(heart),
        *_aorta(heart),
        *_conclusion(known),
    ]


def _ventricles(heart: Heart, known: Truth) -> list[Point]:
    shares = {
        "lv": known.measurements["lv_edvi_ml_m2"] / LV_EDVI_MAX[heart.sex],
        "rv": known.measurements["rv_edvi_ml_m2"] / RV_EDVI_MAX[heart.sex],
    }
    said = []
    for side, fraction, limits in (("lv", heart.lv_ef, LV_EF), ("rv", heart.rv_ef, RV_EF)):
        dilated, weak = known.findings[f"{side}_dilation"], known.findings[f"{side}_dysfunction"]
        said += [
            Point(f"{side}_size", dilated, _grade(shares[side], VOLUME_SHARES)),
            Point(f"{side}_function", weak, _grade(fraction, limits)),
        ]
    return said


def _wall(heart: Heart, known: Truth) -> list[Point]:
    if not known.findings["lv_hypertrophy"]:
        return [Point("wall", positive=False)]
    septal = heart.wall_mm[list(SEPTAL)].mean()
    free = heart.wall_mm[[4, 5, 10, 11, 15]].mean()
    topic = "septal" if septal > SEPTAL_RATIO * free else "concentric"
    return [
        Point("hypertrophy", positive=True),
        Point(topic, positive=True, grade=_grade(float(heart.wall_mm.max()), WALL_MM)),
    ]


def _motion(heart: Heart) -> list[Point]:
    said = []
    for scar in heart.scars:
        motion = float(heart.motion[list(scar.segments)].mean())
        if scar.territory and motion < HYPOKINETIC:
            kind = "dyskinesis" if motion < 0 else "akinesis"
            words = {"motion": kind if motion < AKINETIC else "hypokinesis"} | _scar_words(scar)
            said.append(Point("motion", positive=True, words=words))
    if heart.septal_bounce > BOUNCE:
        said.append(Point("bounce", positive=True))
    return said


def _enhancement(heart: Heart) -> list[Point]:
    if not heart.scars:
        return [Point("lge", positive=False)]
    return [
        Point("late", positive=True),
        *(Point(_scar_topic(scar), positive=True, words=_scar_words(scar)) for scar in heart.scars),
    ]


def _scar_topic(scar: Scar) -> str:
    if scar.enhancement is not Enhancement.SUBENDOCARDIAL:
        return str(scar.enhancement)
    return "transmural" if scar.depth > TRANSMURAL else "subendocardial"


def _scar_words(scar: Scar) -> dict[str, str]:
    return {
        "where": describe_segments(scar.segments),
        "depth": f"{10 * round(10 * scar.depth)}",
        "extent": next(word for most, word in EXTENTS if len(scar.segments) <= most),
        "artery": "LCx" if scar.territory == "LCX" else scar.territory,
        "vessel": VESSELS.get(scar.territory, ""),
    }


def _aorta(heart: Heart) -> list[Point]:
    parts = (
        ("root", heart.root_mm, ROOT_MAX_MM, AORTA_MM),
        ("ascending", heart.ascending_mm, ASCENDING_MAX_MM, AORTA_MM),
        ("descending", heart.descending_mm, DESCENDING_MAX_MM, DESCENDING_MM),
    )
    wide = [
        Point(part, positive=True, grade=_grade(mm, limits))
        for part, mm, most, limits in parts
        if mm > most
    ]
    return wide or [Point("aorta", positive=False)]


def _conclusion(known: Truth) -> list[Point]:
    dilated = known.findings["lv_dilation"]
    named = [
        name if name != "nicm" or not dilated else "dcm"
        for name, holds in known.diagnoses.items()
        if holds and (name != "nicm" or not known.diagnoses["hcm"])
    ]
    said = [Point(name, positive=True) for name in named]
    return said if any(known.findings.values()) else [*said, Point("all", positive=False)]


#: How often size and function of a ventricle that are both abnormal or both normal are joined.
JOINS = 0.5

#: Topics that a reader may leave out although they are there: nothing of the truth is lost.
OPTIONAL = frozenset(
    {"hypertrophy", "late", "motion", "bounce", "hcm", "amyloid", "icm", "nicm", "dcm"}
)

#: Topics that only late enhancement tells.
FROM_LATE = frozenset(
    {"lge", "late", *map(str, Enhancement), "transmural", "amyloid", "icm", "nicm", "dcm", "all"}
)


# -- readers


class Layout(StrEnum):
    """How sentences are set out."""

    PROSE = "prose"
    NUMBERS = "numbers"
    DASHES = "dashes"
    LINES = "lines"


class Reader(NamedTuple):
    """The habits of a style."""

    layout: Layout
    tells_normal: float  #: how often a negative finding is mentioned
    tells_more: float  #: how often an optional topic is mentioned
    abnormal_first: bool
    adverbs: tuple[str, str, str]
    adjectives: tuple[str, str, str]


_LY = ("mildly", "moderately", "severely")
_ADJ = ("mild", "moderate", "severe")

#: What each reader says: a topic, + where it is found and - where it is not, and a sentence; one
#: of several is drawn. A line that begins with a blank goes on with the one before.
#: {adv} and {adj} are the grade, {where} segments, the rest numbers and words of the finding.
PHRASES: Mapping[ReaderStyle, str] = MappingProxyType(
    {
        ReaderStyle.PUBLISHED: """
lv_size+        Left ventricle is dilated
lv_size+        Left ventricle is {adv} enlarged in size
lv_size+        Left ventricle is {adv} dilated
lv_size-        Left ventricle is normal in size
lv_function+    Left ventricle with systolic dysfunction
lv_function+    Left ventricle with {adj} systolic dysfunction, LVEF {ef}%
lv_function-    Left ventricle with normal systolic function
lv_both+        Left ventricle is dilated with systolic dysfunction, LVEF {ef}%
lv_both+        Left ventricle is enlarged in size with {adj} systolic dysfunction
lv_both-        Left ventricle is normal in size and systolic function
rv_size+        Right ventricle is dilated
rv_size+        Right ventricle is {adv} enlarged in size
rv_size-        Right ventricle is normal in size
rv_function+    Right ventricle with systolic dysfunction
rv_function+    Right ventricle with {adj} systolic dysfunction
rv_function-    Right ventricle with normal systolic function
rv_both+        Right ventricle is dilated with systolic dysfunction
rv_both+        Right ventricle is enlarged in size with {adj} systolic dysfunction
rv_both-        Right ventricle is normal in size and systolic function
hypertrophy+    There is left ventricular hypertrophy
hypertrophy+    LV is thickened
hypertrophy+    There is increased left ventricular wall thickness
septal+         There is septal hypertrophy
septal+         There is {adj} asymmetric septal hypertrophy measuring {wall} mm
septal+         The septum is thickened at {wall} mm
concentric+     There is {adj} concentric left ventricular hypertrophy
concentric+     The left ventricular walls are thickened
wall-           There is no left ventricular hypertrophy
wall-           Left ventricular wall thickness is normal
motion+         There is {motion} of the {where} wall
bounce+         There is a septal bounce
late+           There is delayed enhancement
late+           Delayed-enhancement imaging is abnormal
transmural+     Delayed-enhancement imaging reveals transmural enhancement of the {where} wall
transmural+     There is a {extent} area of {artery} scar
transmural+     Delayed-enhancement imaging reveals transmural {artery} scar
transmural+     Delayed-enhancement imaging reveals transmural enhancement
transmural+     There is a {extent} transmural infarct
subendocardial+ Delayed-enhancement imaging reveals subendocardial enhancement of the {where} wall
subendocardial+ There is a {extent} area of subendocardial {artery} scar
subendocardial+ Delayed-enhancement imaging reveals subendocardial enhancement
midwall+        Delayed-enhancement imaging reveals patchy enhancement of the {where} wall
midwall+        Delayed-enhancement imaging reveals patchy midwall enhancement
midwall+        Delayed-enhancement imaging reveals patchy enhancement
midwall+        There is a small area of midwall fibrosis
diffuse+        Delayed-enhancement imaging reveals diffuse enhancement of the myocardium
lge-            Delayed-enhancement imaging reveals no scar
lge-            There is no delayed enhancement
root+           Aortic root is ectatic
root+           Aortic root is ectatic at {root} mm
ascending+      Ascending aorta is dilated
ascending+      Ascending aorta is {adv} dilated at {asc} mm
descending+     Descending aorta is dilated
descending+     Descending aorta is ectatic
aorta-          Thoracic aorta is normal in size
hcm+            Findings suggest hypertrophic cardiomyopathy
amyloid+        Findings suggest cardiac amyloidosis
icm+            Findings suggest ischemic cardiomyopathy
nicm+           Findings suggest non-ischemic cardiomyopathy
dcm+            Findings suggest dilated cardiomyopathy
all-            Normal cardiac MRI
""",
        ReaderStyle.NUMBERED: """
lv_size+        {adv} dilated left ventricle (LVEDVi {edvi} mL/m2)
lv_size+        {adv} LV dilatation
lv_size-        Normal LV size
lv_function+    {adv} reduced LV systolic function, LVEF {ef}%
lv_function+    {adv} impaired LV systolic function (EF {ef}%)
lv_function-    Preserved LV systolic function, LVEF {ef}%
lv_function-    Normal LVEF ({ef}%)
lv_both+        Dilated left ventricle with {adv} reduced systolic function, LVEF {ef}%
lv_both+        Dilated LV (LVEDVi {edvi} mL/m2) with impaired systolic function (LVEF {ef}%)
lv_both-        Normal LV size and systolic function, LVEF {ef}%
rv_size+        {adv} dilated right ventricle (RVEDVi {rvedvi} mL/m2)
rv_size+        {adv} RV dilatation
rv_size-        Normal RV size
rv_function+    {adv} reduced RV systolic function, RVEF {rvef}%
rv_function-    Preserved RV systolic function, RVEF {rvef}%
rv_both+        Dilated right ventricle with {adv} reduced systolic function, RVEF {rvef}%
rv_both-        Normal RV size and systolic function
hypertrophy+    Left ventricular hypertrophy
hypertrophy+    Increased LV wall thickness
septal+         Asymmetric septal hypertrophy, maximum wall thickness {wall} mm
septal+         {adj} asymmetric hypertrophy of the septum ({wall} mm)
concentric+     {adj} concentric LV hypertrophy, maximum wall thickness {wall} mm
concentric+     {adv} thickened left ventricular walls ({wall} mm)
concentric+     {adv} increased LV wall thickness ({wall} mm)
wall-           Normal LV wall thickness
wall-           No LV hypertrophy
wall-           Normal thickness of the left ventricular walls
motion+         {motion} of the {where} segments
bounce+         Abnormal septal motion with septal bounce
late+           Abnormal late gadolinium enhancement
late+           Late gadolinium enhancement is present
transmural+     Transmural late gadolinium enhancement of the {where} segments, consistent with
                prior {artery} infarction
transmural+     Transmural infarct in the {artery} territory
transmural+     Transmural myocardial infarction
subendocardial+ Subendocardial late gadolinium enhancement of the {where} segments in the {artery}
                territory
subendocardial+ Subendocardial infarct in the {artery} territory, up to {depth}% of wall thickness
subendocardial+ Subendocardial scar in the {where} segments
midwall+        Patchy mid-wall late gadolinium enhancement of the {where} segments in a non-
                ischaemic pattern
midwall+        Mid-myocardial LGE in the {where} segments
midwall+        Patchy fibrosis of the {where} segments on late gadolinium enhancement
diffuse+        Diffuse late gadolinium enhancement with abnormal myocardial nulling
lge-            No late gadolinium enhancement
lge-            No LGE to suggest scar or fibrosis
root+           {adj} aortic root dilatation, {root} mm
root+           {adv} dilated aortic root ({root} mm)
ascending+      {adj} dilatation of the ascending aorta, {asc} mm
ascending+      {adv} dilated ascending aorta ({asc} mm)
descending+     {adj} dilatation of the descending aorta, {desc} mm
descending+     {adv} dilated descending thoracic aorta ({desc} mm)
aorta-          Normal calibre thoracic aorta
hcm+            Appearances consistent with hypertrophic cardiomyopathy
amyloid+        Appearances highly suggestive of cardiac amyloidosis
icm+            Ischaemic cardiomyopathy
nicm+           Non-ischaemic cardiomyopathy
dcm+            Appearances of dilated cardiomyopathy
all-            Normal cardiac MRI study
""",
        ReaderStyle.NARRATIVE: """
lv_size+        The left ventricular cavity is {adv} enlarged with an end-diastolic volume of
                {edv} mL
lv_size+        There is {adj} enlargement of the left ventricle
lv_size+        The left ventricle is dilated
lv_size-        The left ventricular cavity is not enlarged
lv_function+    The left ventricular ejection fraction is {adv} reduced at {ef}%
lv_function+    Global left ventricular systolic function is {adv} depressed
lv_function+    The left ventricle contracts poorly, with a reduced ejection fraction
lv_function-    The left ventricular ejection fraction is normal at {ef}%
lv_both+        The left ventricle is enlarged and its ejection fraction is {adv} reduced at {ef}%
lv_both+        The enlarged left ventricle shows global hypokinesis with an ejection fraction of
                {ef}%
lv_both-        The left ventricle is of normal size and contracts normally
rv_size+        There is {adj} enlargement of the right ventricle
rv_size+        The right ventricular cavity is {adv} enlarged
rv_size+        The right ventricle is dilated
rv_size-        The right ventricular cavity is not enlarged
rv_function+    The right ventricular ejection fraction is {adv} reduced at {rvef}%
rv_function+    Right ventricular systolic function is {adv} depressed
rv_function+    The right ventricle contracts poorly, with a reduced ejection fraction
rv_function-    Right ventricular systolic function is normal
rv_both+        The right ventricle is enlarged and its ejection fraction is {adv} reduced at
                {rvef}%
rv_both-        The right ventricle is of normal size and contracts normally
hypertrophy+    The wall thickness of the left ventricle is increased
hypertrophy+    The myocardium of the left ventricle is hypertrophied
septal+         The interventricular septum is {adv} thickened, measuring up to {wall} mm
septal+         Hypertrophy is asymmetric and most pronounced in the septum ({wall} mm)
concentric+     The left ventricular walls are {adv} and concentrically thickened to {wall} mm
concentric+     The left ventricular myocardium is diffusely thickened
concentric+     The wall thickness of the left ventricle is {adv} increased to {wall} mm
wall-           The left ventricular walls are of normal thickness
wall-           The wall thickness of the left ventricle is normal
motion+         Regional {motion} is seen in the {where} segments
bounce+         The septum moves paradoxically
late+           The late images after contrast are abnormal, with enhancement of the myocardium
late+           There is myocardial scarring
transmural+     After contrast there is near-transmural enhancement of the {where} segments, in
                keeping with a chronic infarct of the {vessel} artery
transmural+     A {extent} transmural scar is present in the territory of the {vessel} artery
transmural+     The late images show a transmural infarct
subendocardial+ After contrast there is subendocardial enhancement of the {where} segments, in
                keeping with a limited infarct of the {vessel} artery
midwall+        After contrast there is patchy enhancement within the mid wall of the {where}
                segments
midwall+        Late images show streaks of mid-wall fibrosis in the {where} segments
midwall+        Patchy areas of fibrosis are seen in the {where} segments on the late images
diffuse+        After contrast the whole myocardium enhances diffusely while the blood pool stays
                dark
lge-            After contrast there is no abnormal myocardial enhancement
lge-            Late images show no scar
root+           The aortic root is {adv} dilated, measuring {root} mm
root+           There is dilatation of the aortic root
ascending+      The ascending aorta is {adv} dilated, measuring {asc} mm
ascending+      The aorta is enlarged to {asc} mm in its ascending part
descending+     The descending aorta is {adv} dilated, measuring {desc} mm
descending+     The descending aorta is enlarged to {desc} mm
aorta-          The aorta is not dilated
hcm+            The picture is that of hypertrophic cardiomyopathy
amyloid+        The picture is that of an infiltrative disease such as amyloidosis
icm+            The picture is that of an ischaemic cardiomyopathy
nicm+           The picture is that of a cardiomyopathy of non-ischaemic origin
dcm+            The picture is that of a dilated cardiomyopathy
all-            The examination of the heart is entirely normal
""",
        ReaderStyle.MEASURED: """
lv_size+        LVEDV {edv} ml, LVEDVi {edvi} ml/m2: {adv} dilated LV
lv_size+        LVEDVi {edvi} ml/m2 ({adv} increased)
lv_size-        LVEDVi {edvi} ml/m2 (normal)
lv_function+    LVEF {ef}% ({adv} reduced)
lv_function+    LVEF {ef}%: {adj} LV dysfunction
lv_function-    LVEF {ef}% (normal)
lv_both+        LVEDVi {edvi} ml/m2, LVEF {ef}%: dilated LV with reduced systolic function
lv_both-        LVEDVi {edvi} ml/m2, LVEF {ef}%: normal LV volume and function
rv_size+        RVEDV {rvedv} ml, RVEDVi {rvedvi} ml/m2: {adv} dilated RV
rv_size+        RVEDVi {rvedvi} ml/m2 ({adv} increased)
rv_size-        RVEDVi {rvedvi} ml/m2 (normal)
rv_function+    RVEF {rvef}% ({adv} reduced)
rv_function+    RVEF {rvef}%: {adj} RV dysfunction
rv_function-    RVEF {rvef}% (normal)
rv_both+        RVEDVi {rvedvi} ml/m2, RVEF {rvef}%: dilated RV with reduced systolic function
rv_both-        RVEDVi {rvedvi} ml/m2, RVEF {rvef}%: normal RV volume and function
hypertrophy+    Maximum wall thickness {wall} mm: LVH
hypertrophy+    Wall thickness increased: {wall} mm
septal+         Maximum septal thickness {wall} mm: {adj} asymmetric LVH
concentric+     Maximum wall thickness {wall} mm: {adj} concentric LVH
concentric+     Wall thickness up to {wall} mm ({adv} thickened, LVH)
wall-           Maximum wall thickness {wall} mm: normal
motion+         RWMA: {motion}, {where} segments
bounce+         Septal dyssynchrony present
late+           LGE: positive
late+           LGE: present
transmural+     LGE: transmural ({depth}% depth), {where} segments, {artery} territory
transmural+     Infarct: transmural, {artery} territory
subendocardial+ LGE: subendocardial ({depth}% depth), {where} segments, {artery} territory
midwall+        LGE: patchy, mid-wall, {where} segments
midwall+        Fibrosis: patchy, {where} segments
diffuse+        LGE: diffuse, all segments
lge-            LGE: none
lge-            LGE: negative
root+           Aortic root {root} mm ({adv} dilated)
root+           Aortic root {root} mm ({adv} enlarged)
ascending+      Ascending aorta {asc} mm ({adv} dilated)
ascending+      Ascending aorta {asc} mm ({adv} enlarged)
descending+     Descending aorta {desc} mm ({adv} dilated)
aorta-          Aortic root {root} mm, ascending aorta {asc} mm (normal)
hcm+            Diagnosis: HCM
amyloid+        Diagnosis: probable cardiac amyloid
icm+            Diagnosis: ICM
nicm+           Diagnosis: NICM
dcm+            Diagnosis: DCM
all-            All values within reference limits
""",
        ReaderStyle.STRUCTURED: """
lv_size+        LV size: {adv} increased
lv_size+        LV size: {adv} dilated
lv_size-        LV size: normal
lv_function+    LV function: {adv} reduced (EF {ef}%)
lv_function+    LV function: {adj} global hypokinesis
lv_function+    LV systolic function: {adv} impaired
lv_function-    LV function: normal (EF {ef}%)
lv_both+        LV: dilated, {adv} reduced systolic function (EF {ef}%)
lv_both-        LV: normal size and function (EF {ef}%)
rv_size+        RV size: {adv} increased
rv_size+        RV size: {adv} dilated
rv_size-        RV size: normal
rv_function+    RV function: {adv} reduced (EF {rvef}%)
rv_function+    RV systolic function: {adv} impaired
rv_function-    RV function: normal (EF {rvef}%)
rv_both+        RV: dilated, {adv} reduced systolic function (EF {rvef}%)
rv_both-        RV: normal size and function (EF {rvef}%)
hypertrophy+    Wall thickness: increased
hypertrophy+    LV hypertrophy: present
septal+         Wall thickness: asymmetric septal hypertrophy, {wall} mm
septal+         Wall thickness: {adv} increased in the septum ({wall} mm)
concentric+     Wall thickness: {adj} concentric hypertrophy, {wall} mm
concentric+     Wall thickness: {adv} and uniformly increased ({wall} mm)
wall-           Wall thickness: normal
motion+         Regional wall motion: {where} {motion}
bounce+         Regional wall motion: septal bounce
late+           Late enhancement: present
late+           Scar: present
transmural+     Scar: transmural, {artery} distribution ({where} segments)
transmural+     Late enhancement: transmural infarct, {artery}
subendocardial+ Scar: subendocardial, {artery} distribution ({where} segments)
midwall+        Scar: patchy midwall enhancement ({where} segments)
midwall+        Late enhancement: patchy fibrosis, {where} segments
diffuse+        Scar: diffuse enhancement, difficult nulling
lge-            Scar: none
lge-            Late enhancement: absent
root+           Aorta: {adv} dilated root, {root} mm
root+           Aorta: ectatic root
ascending+      Aorta: {adv} dilated ascending segment, {asc} mm
ascending+      Aorta: ascending aorta enlarged, {asc} mm
descending+     Aorta: {adv} dilated descending segment, {desc} mm
descending+     Aorta: ectatic descending segment
aorta-          Aorta: normal
hcm+            Summary: hypertrophic cardiomyopathy
amyloid+        Summary: amyloid cardiomyopathy likely
icm+            Summary: ischemic cardiomyopathy
nicm+           Summary: nonischemic cardiomyopathy
dcm+            Summary: dilated cardiomyopathy
all-            Summary: normal study
""",
        ReaderStyle.ACADEMIC: """
lv_size+        {adj} left ventricular dilation with an indexed end-diastolic volume of {edvi}
                mL/m2
lv_size+        The indexed left ventricular end-diastolic volume is {adv} increased ({edvi}
                mL/m2)
lv_size+        {adj} enlargement of the left ventricular cavity
lv_size-        Normal indexed left ventricular volumes
lv_function+    {adj} left ventricular systolic dysfunction with a calculated ejection fraction of
                {ef}%
lv_function+    {adv} decreased left ventricular systolic function by quantitative assessment
                (LVEF {ef}%)
lv_function-    Normal left ventricular systolic function with a calculated ejection fraction of
                {ef}%
lv_both+        Left ventricular dilation ({edvi} mL/m2) accompanied by {adj} systolic dysfunction
                (LVEF {ef}%)
lv_both-        Normal left ventricular volumes and systolic function (LVEF {ef}%)
rv_size+        {adj} right ventricular dilation with an indexed end-diastolic volume of {rvedvi}
                mL/m2
rv_size+        {adj} enlargement of the right ventricular cavity
rv_size-        Normal indexed right ventricular volumes
rv_function+    {adj} right ventricular systolic dysfunction with a calculated ejection fraction
                of {rvef}%
rv_function+    {adv} decreased right ventricular systolic function by quantitative assessment
                (RVEF {rvef}%)
rv_function-    Normal right ventricular systolic function
rv_both+        Right ventricular dilation ({rvedvi} mL/m2) accompanied by {adj} systolic
                dysfunction (RVEF {rvef}%)
rv_both-        Normal right ventricular volumes and systolic function
hypertrophy+    Left ventricular hypertrophy is demonstrated
hypertrophy+    Increased left ventricular wall thickness is demonstrated
septal+         {adj} asymmetric left ventricular hypertrophy predominantly involving the
                interventricular septum, with a maximal end-diastolic thickness of {wall} mm
concentric+     {adj} concentric left ventricular hypertrophy with a maximal end-diastolic
                thickness of {wall} mm
concentric+     {adv} increased left ventricular wall thickness in a concentric pattern
concentric+     Hypertrophied and concentrically thickened left ventricular myocardium
wall-           No evidence of left ventricular hypertrophy
wall-           Left ventricular wall thickness within normal limits
motion+         Associated {motion} of the {where} segments
bounce+         Abnormal interventricular septal motion in early diastole
late+           Abnormal myocardial late gadolinium enhancement is demonstrated
transmural+     Late gadolinium enhancement with >50% transmurality in the {where} segments,
                consistent with prior myocardial infarction in the {vessel} territory
transmural+     Transmural myocardial infarction is demonstrated by late gadolinium enhancement
subendocardial+ Late gadolinium enhancement with <50% transmurality in the {where} segments,
                consistent with prior subendocardial infarction in the {vessel} territory
midwall+        Patchy intramyocardial late gadolinium enhancement involving the {where} segments,
                compatible with non-ischemic fibrosis
midwall+        Late gadolinium enhancement demonstrates patchy intramyocardial fibrosis
diffuse+        Diffuse late gadolinium enhancement of the left ventricular myocardium with
                altered gadolinium kinetics
lge-            No evidence of myocardial scar or fibrosis on late gadolinium enhancement imaging
root+           {adj} dilation of the aortic root at the sinuses ({root} mm)
root+           {adj} ectasia of the aortic root ({root} mm)
ascending+      {adj} dilation of the tubular ascending aorta ({asc} mm)
ascending+      {adj} enlargement of the ascending aorta ({asc} mm)
descending+     {adj} dilation of the descending thoracic aorta ({desc} mm)
aorta-          No thoracic aortic aneurysm or ectasia
hcm+            The constellation of findings is consistent with hypertrophic cardiomyopathy
amyloid+        The constellation of findings is highly suspicious for cardiac amyloidosis
icm+            The constellation of findings is consistent with ischemic cardiomyopathy
nicm+           The constellation of findings is consistent with nonischemic cardiomyopathy
dcm+            The constellation of findings is consistent with dilated cardiomyopathy
all-            Normal cardiovascular magnetic resonance examination
""",
        ReaderStyle.TELEGRAPHIC: """
lv_size+        {adv} dilated LV
lv_size+        LV {adv} enlarged
lv_size-        LV size WNL
lv_function+    LVEF {ef}%, {adv} reduced
lv_function+    {adj} LV syst dysfunction
lv_function+    impaired LV function, EF {ef}%
lv_function-    LVEF {ef}%, normal
lv_both+        dilated LV, low LVEF {ef}%
lv_both+        LV enlarged + hypokinetic, reduced EF
lv_both-        normal LV, LVEF {ef}%
rv_size+        {adv} dilated RV
rv_size+        RV {adv} enlarged
rv_size-        RV size normal
rv_function+    RVEF {rvef}%, {adv} reduced
rv_function+    {adj} RV syst dysfunction
rv_function+    impaired RV function
rv_function-    RVEF {rvef}%, normal
rv_both+        dilated RV, low RVEF {rvef}%
rv_both-        normal RV
hypertrophy+    LVH
hypertrophy+    LV wall thickened
septal+         ASH {wall} mm, {adj} septal hypertrophy
septal+         septum thickened {wall} mm
concentric+     {adj} concentric LVH ({wall} mm)
concentric+     LV thickened {wall} mm
concentric+     LV walls thick {wall} mm, LVH
wall-           no LVH
motion+         {where} {motion}
bounce+         septal bounce +
late+           DE present
late+           LGE positive
transmural+     transmural DE {where}, {artery} MI
transmural+     {extent} {artery} scar
transmural+     transmural {artery} infarct
subendocardial+ subendo DE {where}, {artery} MI
subendocardial+ partial {artery} scar
midwall+        patchy midwall DE {where}
midwall+        midwall LGE {where}
midwall+        patchy fibrosis {where}
diffuse+        diffuse DE, poor nulling
lge-            no DE
lge-            no LGE
root+           ectatic aortic root {root} mm
root+           Ao root dilated {root} mm
ascending+      asc Ao dilated {asc} mm
ascending+      asc Ao enlarged {asc} mm
descending+     desc Ao dilated {desc} mm
descending+     ectatic desc Ao {desc} mm
aorta-          Ao normal
hcm+            c/w HCM
amyloid+        c/w amyloid
icm+            c/w ICM
nicm+           c/w NICM
dcm+            c/w DCM
all-            normal CMR
""",
        ReaderStyle.EXTERNAL_LETTER: """
lv_size+        We find a {adv} dilated left ventricle with a diastolic volume of {edv} cc
lv_size+        The left ventricle is {adv} larger than expected ({edvi} cc per square metre)
lv_size-        The dimensions of the left ventricle are normal
lv_function+    The pump function of the left ventricle is {adv} impaired (ejection fraction {ef}
                percent)
lv_function+    We measure a {adv} diminished ejection fraction of the left ventricle, {ef}
                percent
lv_function-    The pump function of the left ventricle is normal
lv_both+        We find a dilated left ventricle whose pump function is {adv} impaired (ejection
                fraction {ef} percent)
lv_both-        Dimensions and pump function of the left ventricle are normal ({ef} percent)
rv_size+        We find a {adv} dilated right ventricle
rv_size+        The right ventricle is {adv} larger than expected
rv_size-        The dimensions of the right ventricle are normal
rv_function+    The pump function of the right ventricle is {adv} impaired (ejection fraction
                {rvef} percent)
rv_function-    The pump function of the right ventricle is normal
rv_both+        We find a dilated right ventricle whose pump function is {adv} impaired
rv_both-        Dimensions and pump function of the right ventricle are normal
septal+         Asymmetrically accentuated septum of up to {wall} mm as a sign of {adj}
                hypertrophy
hypertrophy+    The heart muscle is thicker than it should be
septal+         The septum is {adv} hypertrophied
concentric+     The left ventricle is {adv} hypertrophied on all sides, up to {wall} mm
wall-           The left ventricle is not hypertrophied
motion+         We see {motion} of the {where} wall sections
bounce+         Asynchronous movement of the septum is noted
late+           In the late phase, the muscle shows pathological hyperenhancement
transmural+     In the late phase, scar tissue across the full wall in the supply area of the
                {vessel} artery
transmural+     Late hyperenhancement from inside to outside in the {where} wall sections
subendocardial+ In the late phase, scar tissue of the inner layer in the supply area of the
                {vessel} artery
midwall+        In the late phase, spotty hyperenhancement of the middle layer of the {where} wall
                sections
diffuse+        In the late phase, spread-out hyperenhancement of the entire muscle
lge-            In the late phase, no contrast uptake of the muscle
root+           The aortic bulb is {adv} widened and ectatic at {root} mm
ascending+      {adj} ectasia of the aorta in its ascending part, {asc} mm
descending+     {adj} ectasia of the aorta in its descending part, {desc} mm
aorta-          The aorta is normally wide
hcm+            Overall this fits a hypertrophic cardiomyopathy
amyloid+        Overall this fits a storage disease, amyloid first of all
icm+            Overall this fits a heart disease of coronary cause
nicm+           Overall this fits a myocardial disease of other than coronary cause
dcm+            Overall this fits a dilated cardiomyopathy
all-            Overall an unremarkable heart
""",
        ReaderStyle.EXTERNAL_LIST: """
lv_size+        LV end-diastolic volume {adv} above the reference range ({edvi} mL/m^2)
lv_size+        LV cavity dilation, {adj}
lv_size-        LV cavity unremarkable
lv_function+    Contractility of the LV {adv} diminished, EF = {ef} %
lv_function+    Systolic LV failure of {adj} degree, EF = {ef} %
lv_function-    Contractility of the LV intact, EF = {ef} %
lv_both+        LV cavity dilation and {adv} diminished contractility, EF = {ef} %
lv_both-        LV cavity and contractility unremarkable
rv_size+        RV end-diastolic volume {adv} above the reference range ({rvedvi} mL/m^2)
rv_size+        RV cavity dilation, {adj}
rv_size-        RV cavity unremarkable
rv_function+    Contractility of the RV {adv} diminished, EF = {rvef} %
rv_function-    Contractility of the RV intact
rv_both+        RV cavity dilation and {adv} diminished contractility, EF = {rvef} %
rv_both-        RV cavity and contractility unremarkable
hypertrophy+    Myocardial hypertrophy
septal+         Asymmetric myocardial hypertrophy with septal accent, {wall} mm
septal+         {adj} septal thickening, {wall} mm
concentric+     {adj} circumferential myocardial thickening, {wall} mm
wall-           Myocardial mass and thickness unremarkable
motion+         Contraction abnormality: {where}, {motion}
bounce+         Interventricular dyscoordination
late+           Hyperenhancement demonstrated
transmural+     Full-thickness hyperenhancement of the {where} myocardium ({artery} bed)
transmural+     Old infarct, {artery} bed, full thickness
subendocardial+ Inner-layer hyperenhancement of the {where} myocardium ({artery} bed)
midwall+        Focal intramural hyperenhancement of the {where} myocardium
diffuse+        Global hyperenhancement of the myocardium
lge-            Absence of hyperenhancement
lge-            Myocardium without scar
root+           Widening of the aortic sinus, aneurysmal, {root} mm
ascending+      Aortic widening, ascending, {asc} mm
descending+     Aortic widening, descending, {desc} mm
aorta-          Aortic diameters unremarkable
hcm+            Suspected: hypertrophic phenotype
amyloid+        Suspected: amyloid deposition
icm+            Suspected: coronary aetiology
nicm+           Suspected: non-coronary aetiology
dcm+            Suspected: dilated phenotype
all-            CMR unremarkable
""",
    }
)

READERS: Mapping[ReaderStyle, Reader] = MappingProxyType(
    {
        ReaderStyle.PUBLISHED: Reader(
            Layout.PROSE, 0.5, 0.5, abnormal_first=True, adverbs=_LY, adjectives=_ADJ
        ),
        ReaderStyle.NUMBERED: Reader(
            Layout.NUMBERS, 0.35, 0.6, abnormal_first=True, adverbs=_LY, adjectives=_ADJ
        ),
        ReaderStyle.NARRATIVE: Reader(
            Layout.PROSE,
            0.55,
            0.7,
            abnormal_first=False,
            adverbs=("slightly", "moderately", "markedly"),
            adjectives=("slight", "moderate", "marked"),
        ),
        ReaderStyle.MEASURED: Reader(
            Layout.LINES, 0.8, 0.3, abnormal_first=False, adverbs=_LY, adjectives=_ADJ
        ),
        ReaderStyle.STRUCTURED: Reader(
            Layout.LINES, 0.9, 0.5, abnormal_first=False, adverbs=_LY, adjectives=_ADJ
        ),
        ReaderStyle.ACADEMIC: Reader(
            Layout.PROSE, 0.6, 0.9, abnormal_first=True, adverbs=_LY, adjectives=_ADJ
        ),
        ReaderStyle.TELEGRAPHIC: Reader(
            Layout.DASHES,
            0.3,
            0.3,
            abnormal_first=True,
            adverbs=("mildly", "mod", "sev"),
            adjectives=("mild", "mod", "sev"),
        ),
        ReaderStyle.EXTERNAL_LETTER: Reader(
            Layout.PROSE,
            0.6,
            0.6,
            abnormal_first=False,
            adverbs=("discretely", "clearly", "massively"),
            adjectives=("discrete", "clear", "massive"),
        ),
        ReaderStyle.EXTERNAL_LIST: Reader(
            Layout.NUMBERS,
            0.4,
            0.4,
            abnormal_first=True,
            adverbs=("minimally", "considerably", "extremely"),
            adjectives=("minor", "considerable", "extreme"),
        ),
    }
)


def _phrases(table: str) -> dict[str, tuple[str, ...]]:
    phrases: dict[str, tuple[str, ...]] = {}
    for line in table.replace("\n ", " ").strip().splitlines():
        topic, *words = line.split()
        phrases[topic] = (*phrases.get(topic, ()), " ".join(words))
    return phrases


#: The phrases of each reader by topic.
BOOKS: Mapping[ReaderStyle, Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {style: _phrases(table) for style, table in PHRASES.items()}
)


def list_templates() -> frozenset[str]:
    """Return every sentence that a reader may fill in."""
    return frozenset(
        phrase for book in BOOKS.values() for phrases in book.values() for phrase in phrases
    )


# -- writing


def compose_impression(heart: Heart, seed: int, style: ReaderStyle, *, late: bool = True) -> str:
    """Return the impression of a report on `heart`; the same seed gives the same words.

    Without `late` nobody imaged late enhancement, and nothing that needs it is said.
    """
    reader = READERS[style]
    rng = np.random.default_rng([seed, 4, list(ReaderStyle).index(style)])
    known = [point for point in points(heart) if late or point.topic not in FROM_LATE]
    known = _joined(known, rng)
    said = [point for point in known if rng.random() < _chance(point, reader)]
    if reader.abnormal_first:
        said.sort(key=lambda point: not point.positive)
    numbers = _numbers(heart)
    return _set_out([_sentence(point, style, numbers, rng) for point in said], reader.layout)


def _joined(known: Sequence[Point], rng: Generator) -> list[Point]:
    """Say size and function of a ventricle in one sentence where they agree, or leave them apart.

    Would readers always join them, "with systolic dysfunction" alone would mean "not dilated".
    """
    said = list(known)
    for side in ("lv", "rv"):
        size, function = (
            next(point for point in said if point.topic == f"{side}_{what}")
            for what in ("size", "function")
        )
        if size.positive == function.positive and rng.random() < JOINS:
            place = said.index(size)
            said[place : place + 2] = [Point(f"{side}_both", size.positive, function.grade)]
    return said


def _chance(point: Point, reader: Reader) -> float:
    if point.topic in OPTIONAL:
        return reader.tells_more
    return 1.0 if point.positive or point.topic == "all" else reader.tells_normal


def _numbers(heart: Heart) -> dict[str, str]:
    """Return the measurements in words: ml, ml/m2, percent, mm."""
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


def _sentence(point: Point, style: ReaderStyle, numbers: Mapping[str, str], rng: Generator) -> str:
    reader = READERS[style]
    choices = BOOKS[style][point.topic + ("+" if point.positive else "-")]
    text = choices[int(rng.integers(len(choices)))].format(
        adv=reader.adverbs[point.grade],
        adj=reader.adjectives[point.grade],
        **numbers,
        **point.words,
    )
    return text[0].upper() + text[1:]


def _set_out(sentences: Sequence[str], layout: Layout) -> str:
    if layout is Layout.PROSE:
        return " ".join(f"{sentence}." for sentence in sentences)
    if layout is Layout.NUMBERS:
        return "\n".join(f"{n}. {sentence}." for n, sentence in enumerate(sentences, start=1))
    mark = "- " if layout is Layout.DASHES else ""
    return "\n".join(f"{mark}{sentence}" for sentence in sentences)
