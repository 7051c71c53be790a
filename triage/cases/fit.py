"""Fit a finding from examples among the past cases, and say how well it tells them.

Few examples become two class means (SimpleShot). Without examples that lack the finding, past cases
at large stand for them, for most lack any one finding. The threshold is the nearer mean; with
prompts beside, the score is the mean of both on one scale, and the threshold flags as many past
cases as the examples alone do. All that are labelled as confirmed or not become a logistic
regression, with the threshold at which sensitivity is nearest to specificity on cases that it was
not fitted to.

Rule: a case is scored by a fit in which no case of its patient had a part; what a fit would flag of
past cases is told of cases that were no example. Thresholds are chosen on the same figures.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score, roc_curve
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict

from triage.domain.case import Case
from triage.domain.errors import ConfigurationError
from triage.domain.finding import Examples, Finding
from triage.model.fitted import (
    FewShot,
    Fitted,
    Head,
    Numbers,
    ScoreScale,
    ScoreSpread,
    centre_embeddings,
    digest_question,
)
from triage.model.prompts import mean_cosines
from triage.ports.encoder import Embeddings
from triage.ports.library import Library

USUAL = 1000  #: past cases drawn to know what is usual
FEWEST_USUAL = 100  #: with fewer, nothing is known of what is usual
FEWEST_CONFIRMED = 10  #: of each kind, for a trained head
FOLDS = 5
SEED = 0
STRENGTH = 10.0  #: C of the regression: embeddings have length 1, so weights must grow


@dataclass(frozen=True)
class HeldOutFit:
    """How well a fit tells the cases that it was not fitted to; None where that is not known."""

    present: int  #: examples that have the finding
    absent: int
    sensitivity: float | None
    specificity: float | None
    auc: float | None
    flagged: float | None  #: share of past cases that it would flag


@dataclass(frozen=True)
class EmbeddedCase:
    """A case with its embedding."""

    case: Case
    embedding: NDArray[np.float32]  #: (D,), as the library keeps it


def fit(
    finding: Finding, library: Library, prompts: NDArray[np.float32] | None
) -> tuple[Fitted, Sequence[str], HeldOutFit]:
    """Fit a finding; return that, the patients of its examples, and how well it tells cases.

    `prompts` (p, D) are those of the finding, if it has some. Raises ConfigurationError where
    examples are no cases of the library, or too few.
    """
    if finding.examples is None:
        raise ConfigurationError(f"finding {finding.id} has no examples")
    if finding.examples.confirmed:
        return _head(finding, library)
    return _few_shot(finding, finding.examples, library, prompts)


def _few_shot(
    finding: Finding, examples: Examples, library: Library, prompts: NDArray[np.float32] | None
) -> tuple[Fitted, Sequence[str], HeldOutFit]:
    present = _named(finding, library, examples.present)
    absent = _named(finding, library, examples.absent)
    usual = _usual(library, {*examples.present, *examples.absent})
    if not absent and len(usual) < FEWEST_USUAL:
        raise ConfigurationError(
            f"finding {finding.id}: name examples without it under `absent`, for the library has"
            f" fewer than {FEWEST_USUAL} other cases to stand for them"
        )
    if prompts is not None and len(usual) < FEWEST_USUAL:
        raise ConfigurationError(
            f"finding {finding.id}: prompts beside examples need a library of at least"
            f" {FEWEST_USUAL} other cases; take either out"
        )
    shot = _means(_points(present), _points(absent), usual)
    beside, threshold = _beside(shot, prompts, usual)
    fitted = Fitted(
        finding=finding.id,
        asked=digest_question(finding),
        examples=_digests([*present, *absent]),
        fit=shot,
        beside=beside,
        threshold=threshold,
    )
    return (
        fitted,
        _patients([*present, *absent]),
        _told_few(fitted, present, absent, usual, prompts),
    )


def _means(present: Embeddings, absent: Embeddings, usual: Embeddings) -> FewShot:
    """Two class means about the middle between both classes, whatever their numbers."""
    others = absent if len(absent) else usual
    centre = (present.mean(axis=0) + others.mean(axis=0)) / 2
    near, far = (centre_embeddings(each, centre).mean(axis=0) for each in (present, others))
    return FewShot(centre=_vector(centre), present=_vector(near), absent=_vector(far))


def _beside(
    shot: FewShot, prompts: NDArray[np.float32] | None, usual: Embeddings
) -> tuple[ScoreScale | None, float]:
    """Return what brings both scores to one scale, and the threshold on it."""
    if prompts is None:
        return None, 0.0
    by_examples, by_prompts = shot.scores(usual), mean_cosines(prompts, usual)
    beside = ScoreScale(examples=_spread(by_examples), prompts=_spread(by_prompts))
    both = (beside.examples.standard(by_examples) + beside.prompts.standard(by_prompts)) / 2
    return beside, float(np.quantile(both, 1 - np.mean(by_examples > 0)))


def _told_few(
    fitted: Fitted,
    present: Sequence[EmbeddedCase],
    absent: Sequence[EmbeddedCase],
    usual: Embeddings,
    prompts: NDArray[np.float32] | None,
) -> HeldOutFit:
    """Leave each example out in turn, with all of its patient's, and ask the fit of the others."""

    def flagged(out: EmbeddedCase) -> bool | None:
        having, lacking = (
            _points([each for each in kind if each.case.patient != out.case.patient])
            for kind in (present, absent)
        )
        if not len(having) or (absent and not len(lacking)):
            return None
        left = fitted.model_copy(update={"fit": _means(having, lacking, usual)})
        return bool(left.scores(out.embedding[None], prompts)[0] > fitted.threshold)

    caught = [each for each in map(flagged, present) if each is not None]
    alarms = [each for each in map(flagged, absent) if each is not None]
    enough = len(usual) >= FEWEST_USUAL
    return HeldOutFit(
        present=len(present),
        absent=len(absent),
        sensitivity=float(np.mean(caught)) if caught else None,
        specificity=1 - float(np.mean(alarms)) if alarms else None,
        auc=None,
        flagged=float(np.mean(fitted.scores(usual, prompts) > fitted.threshold))
        if enough
        else None,
    )


def _head(finding: Finding, library: Library) -> tuple[Fitted, Sequence[str], HeldOutFit]:
    known = list(_labelled(library))
    truth = np.array([finding.id in each.case.confirmed for each in known], bool)
    having, lacking = (
        len({each.case.patient for each, holds in zip(known, truth, strict=True) if holds == kind})
        for kind in (True, False)
    )
    if min(having, lacking) < FEWEST_CONFIRMED:
        raise ConfigurationError(
            f"finding {finding.id}: a trained head needs cases of {FEWEST_CONFIRMED} patients in"
            f" which it is confirmed, and of as many in which it is known not to be; there are"
            f" {having} and {lacking} (a column `confirmed` of triage index --reports says so)"
        )
    points = _points(known)
    model = LogisticRegression(C=STRENGTH, class_weight="balanced", max_iter=2000)
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=SEED)
    whose = [each.case.patient for each in known]
    chance = cross_val_predict(
        model, points, truth, groups=whose, cv=folds, method="predict_proba"
    )[:, 1]
    threshold, sensitivity, specificity = _balanced(chance, truth)
    model.fit(points, truth)
    fitted = Fitted(
        finding=finding.id,
        asked=digest_question(finding),
        examples=_digests(known),
        fit=Head(weights=_vector(model.coef_[0]), intercept=float(model.intercept_[0])),
        threshold=threshold,
    )
    auc = float(roc_auc_score(truth, chance))
    flagged = float(np.mean(chance > threshold))
    told = HeldOutFit(int(truth.sum()), int((~truth).sum()), sensitivity, specificity, auc, flagged)
    return fitted, _patients(known), told


def _balanced(chance: Numbers, truth: NDArray[np.bool_]) -> tuple[float, float, float]:
    """Return the threshold at which sensitivity is nearest to specificity, and both there."""
    false, true, thresholds = roc_curve(truth, chance, drop_intermediate=False)
    place = int(np.argmin(np.abs(true - (1 - false))))
    # Flagged is what exceeds a threshold, and the curve's are reached.
    threshold = float(np.nextafter(min(thresholds[place], 1.0), 0))
    return threshold, float(true[place]), float(1 - false[place])


def _named(finding: Finding, library: Library, uids: Sequence[str]) -> list[EmbeddedCase]:
    known = {uid: _known(library, uid) for uid in uids}
    if missing := [uid for uid, each in known.items() if each is None]:
        raise ConfigurationError(
            f"finding {finding.id}: no case of this bundle: {', '.join(missing)}; a study becomes"
            " one when it is assessed, or by `triage index`"
        )
    return [each for each in known.values() if each is not None]


def _labelled(library: Library) -> Iterator[EmbeddedCase]:
    """Yield the cases of which somebody said what is confirmed; a report alone tells no finding."""
    for uid in list(library.list_study_uids()):
        case = library.get_case(uid)
        if case is not None and case.labelled:
            known = _known(library, uid)
            if known is not None:
                yield known


def _known(library: Library, study_uid: str) -> EmbeddedCase | None:
    case, embedding = library.get_case(study_uid), library.get_embedding(study_uid)
    return None if case is None or embedding is None else EmbeddedCase(case, embedding)


def _usual(library: Library, but: set[str]) -> Embeddings:
    """Return the embeddings of some past cases, (n, D), the same ones of the same library."""
    uids = [uid for uid in library.list_study_uids() if uid not in but]
    drawn = np.random.default_rng(SEED).permutation(len(uids))[:USUAL]
    found = [library.get_embedding(uids[place]) for place in sorted(drawn)]
    return np.array([each for each in found if each is not None], np.float32)


def _points(known: Sequence[EmbeddedCase]) -> Embeddings:
    return np.array([each.embedding for each in known], np.float32)


def _digests(known: Sequence[EmbeddedCase]) -> Mapping[str, str]:
    return {
        each.case.study_uid: hashlib.sha256(each.embedding.tobytes()).hexdigest() for each in known
    }


def _patients(known: Sequence[EmbeddedCase]) -> list[str]:
    return sorted({each.case.patient for each in known})


def _spread(scores: Numbers) -> ScoreSpread:
    return ScoreSpread(mean=float(scores.mean()), deviation=max(float(scores.std()), 1e-9))


def _vector(numbers: NDArray[np.floating]) -> tuple[float, ...]:
    return tuple(float(each) for each in numbers)
