"""Inputs of reports, one for each kind of assessment that a site produces.

They are the same on every call, pictures included. Golden texts and judges iterate over `KINDS`.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from tests.builders.assessments import (
    ANSWERS,
    EQUIPMENT,
    FINDINGS,
    ROOT,
    as_received,
    mixed,
    untrained,
)
from tests.builders.assessments import evidence as two_cines
from triage.domain.assessment import (
    Answer,
    Assessment,
    Disclosure,
    Familiarity,
    Flag,
    KeyFrame,
    Presence,
    ScoreKind,
    SimilarCase,
    SourceImage,
)
from triage.domain.finding import Examples
from triage.domain.reasons import ReasonCode, because
from triage.model.scoring import silence
from triage.reports import header
from triage.reports.reporting import Reporting

SCORES = ((0.582, 0.531), (0.341, 0.28), (0.47, 0.4696), (0.3, 0.12))
#: In winter, as is the study; the images state no zone.
MADE_AT = datetime(2026, 11, 4, 9, 30, 15, 250_000, ZoneInfo("Europe/Berlin"))
OTHERS = ("7QK4-M2XD", "B9TN-0R5W")  #: keys of other patients' cases
PRIOR = SourceImage("1.2.840.10008.5.1.4.1.1.4", f"{ROOT}.2.1.1", f"{ROOT}.2.1")


def reporting(
    assessment: Assessment | None = None,
    evidence: Sequence[Dataset] | None = None,
    similar_cases: Disclosure = Disclosure.OPAQUE,
) -> Reporting:
    """A report about to be made, with pictures of all key frames."""
    said = assessment or all_flagged()
    keys = [key.image for answer in said.answers for key in answer.key_frames]
    return Reporting(
        said,
        two_cines() if evidence is None else evidence,
        EQUIPMENT,
        {image: heart(number) for number, image in enumerate(dict.fromkeys(keys))},
        similar_cases=similar_cases,
        made_at=MADE_AT,
    )


def all_flagged() -> Assessment:
    """Every finding flagged, each with its key frames."""
    base = mixed()
    answers = tuple(
        flagged(replace(answer, finding=finding), *numbers, base)
        for answer, finding, numbers in zip(ANSWERS, FINDINGS, SCORES, strict=True)
    )
    return replace(base, answers=answers, missing=())


def usual() -> Assessment:
    """One of each kind of answer, the flagged one with its key frames."""
    base = mixed()
    first, *others = base.answers
    return replace(base, answers=(flagged(first, 0.341, 0.28, base), *others))


def none_flagged() -> Assessment:
    """Nothing flagged, one finding ruled out."""
    base = mixed()
    quiet = replace(
        base.answers[0],
        score=0.12,
        flag=Flag.NO,
        presence=Presence.UNDETERMINED,
        reason="not above the threshold (score 0.120, threshold 0.280)",
    )
    return replace(base, answers=(quiet, *base.answers[1:]))


def with_similar(*, uids: bool = False) -> Assessment:
    """A prior of the patient's own and two cases of others."""
    first, second = OTHERS
    return replace(
        usual(),
        similar=(
            SimilarCase(0.934, study_uid=f"{ROOT}.2", images=(PRIOR,)),
            SimilarCase(0.871, first, f"{ROOT}.31" if uids else "", likeness=0.9983),
            SimilarCase(0.866, key=second, study_uid=f"{ROOT}.32" if uids else ""),
        ),
    )


def familiar() -> Assessment:
    """The usual answers on a study that is like those of the training."""
    return replace(usual(), familiarity=Familiarity(0.94, 2.09, "cine_sa"))


def unfamiliar() -> Assessment:
    """The usual scores on a study that is unlike those of the training: nothing is evaluated."""
    why_not = because(ReasonCode.UNFAMILIAR)
    answers = tuple(replace(silence(a, why_not), key_frames=()) for a in usual().answers)
    known = Familiarity(12.3, 2.09, "cine_sa")
    return replace(usual(), answers=answers, familiarity=known, silence=why_not.code)


def marked() -> Assessment:
    """The usual answers on an unfamiliar study, at a site that wants them with a mark."""
    known = Familiarity(12.3, 2.09, "cine_sa")
    return replace(usual(), familiarity=known, mark="research arm of trial 12")


def decided() -> Assessment:
    """A finding that is ruled in, one that is ruled out, and one that was fitted from examples."""
    present, absent, fitted, *others = usual().answers
    figures = "above the rule-in score 0.310 (positive predictive value 0.93 on 412 studies)"
    studies = tuple(f"{ROOT}.4.{number}" for number in range(24))
    finding = replace(fitted.finding, prompts=(), examples=Examples(studies[:12], studies[12:]))
    by_examples = replace(
        fitted,
        finding=finding,
        score=1.2,
        threshold=1.25,
        reason="not above the threshold (score 1.200, threshold 1.250, fitted from 24 examples)",
        fitted="f17e" * 16,
        kind=ScoreKind.DISTANCES,
        examples=24,
    )
    answers = (
        replace(present, presence=Presence.PRESENT, reason=f"{present.reason}, {figures}"),
        absent,
        by_examples,
        *others,
    )
    return replace(usual(), answers=answers)


def forty(flag: Flag | None = None) -> Assessment:
    """Forty findings: all with one flag, or of every kind in turn."""
    base = usual()
    answers = tuple(_fortieth(number, flag, base) for number in range(40))
    return replace(base, answers=answers)


def flagged(answer: Answer, score: float, threshold: float, base: Assessment) -> Answer:
    """The answer as a flagged one, with the foremost frame of each view and the next."""
    return replace(
        answer,
        score=score,
        threshold=threshold,
        flag=Flag.YES,
        presence=Presence.UNDETERMINED,
        reason=f"above the threshold (score {score:.3f}, threshold {threshold:.3f})",
        views=tuple(view.view for view in base.used),
        key_frames=tuple(
            KeyFrame(view.view, view.images[place], 0.2 - place / 100)
            for place in (3, 12)
            for view in base.used
        ),
    )


def heart(number: int) -> NDArray[np.uint8]:
    """A grey picture that looks like a short axis, (96, 96)."""
    y, x = np.mgrid[-1:1:96j, -1:1:96j]
    radius = np.hypot(x + 0.1, y)
    ring = 40 + 180 * (radius < 0.25 + 0.02 * number) + 60 * (np.abs(radius - 0.45) < 0.1)
    body = np.where(np.hypot(x, y * 1.2) < 0.9, ring, 8)
    grey = np.clip(body + 10 * np.sin(9 * x) * np.cos(7 * y), 0, 255)
    return np.asarray(grey, dtype=np.uint8)


def japanese() -> list[Dataset]:
    """The evidence with a name in three ways of writing."""
    return _named("Yamada^Tarou=山田^太郎=やまだ^たろう", ["", "ISO 2022 IR 87"])


def cyrillic() -> list[Dataset]:
    """The evidence with a Cyrillic name."""
    return _named("Достоевская^Александра", "ISO_IR 144")


def awkward() -> list[Dataset]:
    """The evidence with a name of letters that messages use for themselves, or no font has."""
    images = _named("O'Brien|&~^<Zoë>\u200b^محمد", "ISO_IR 192")
    for image in images:
        image.PatientID = "A|B^C&D"
        image.StudyDescription = "Heart & vessels <1|2>"
    return images


def bare() -> list[Dataset]:
    """The evidence without anything about patient and study, the accession number among it."""
    images = two_cines()
    for image in images:
        for keyword in (*header.REQUIRED, *header.OPTIONAL):
            if keyword in image:
                delattr(image, keyword)
    return images


def unaccessioned() -> list[Dataset]:
    """The evidence without accession number."""
    images = two_cines()
    for image in images:
        image.AccessionNumber = ""
    return images


def _named(name: str, charset: str | list[str]) -> list[Dataset]:
    images = two_cines()
    for image in images:
        image.SpecificCharacterSet = charset
        image.PatientName = name
    return [as_received(image) for image in images]


def _fortieth(number: int, flag: Flag | None, base: Assessment) -> Answer:
    kind = list(Flag)[number % 3] if flag is None else flag
    finding = replace(
        FINDINGS[number % 4],
        id=f"finding_{number:02}",
        name=f"{FINDINGS[number % 4].name}, question {number + 1}",
        code=None,
    )
    if kind is Flag.YES:
        return flagged(replace(ANSWERS[0], finding=finding), 0.3 + number / 100, 0.29, base)
    return replace(ANSWERS[2] if kind is Flag.NO else ANSWERS[3], finding=finding)


KINDS: dict[str, Callable[[], Reporting]] = {
    "usual": lambda: reporting(usual()),
    "all_flagged": lambda: reporting(all_flagged()),
    "none_flagged": lambda: reporting(none_flagged()),
    "not_evaluated": lambda: reporting(untrained()),
    "similar_cases": lambda: reporting(with_similar()),
    "similar_uids": lambda: reporting(with_similar(uids=True), similar_cases=Disclosure.UIDS),
    "familiar": lambda: reporting(familiar()),
    "unfamiliar": lambda: reporting(unfamiliar()),
    "decided": lambda: reporting(decided()),
    "forty_findings": lambda: reporting(forty()),
    "japanese_name": lambda: reporting(usual(), japanese()),
    "cyrillic_name": lambda: reporting(usual(), cyrillic()),
    "awkward_name": lambda: reporting(usual(), awkward()),
    "no_accession": lambda: reporting(usual(), unaccessioned()),
    "bare": lambda: reporting(usual(), bare()),
}
