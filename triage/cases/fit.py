"""Fits a finding from example cases, and measures the fit on held-out cases.

Few examples become two class means (SimpleShot). Without examples that lack the finding, a random
sample of past cases is used instead, because most cases lack any one finding. The threshold is
halfway between the means. With prompts in addition, the score is the mean of both scores on one
scale, and the threshold flags the same share of past cases as the examples alone do. All cases
labelled as confirmed or not confirmed train a logistic regression; its threshold is where
sensitivity is nearest to specificity on held-out cases.

Invariants:
    A case is scored by a fit that has seen no case of the same patient
    (test_other_studies_of_a_patient_do_not_improve_the_figures).

The share of past cases that a fit would flag is measured on cases that are not examples.
Thresholds are chosen on the same held-out figures that are reported.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from triage.domain.case import Case
from triage.domain.errors import ConfigurationError
from triage.domain.finding import Examples, Finding
from triage.model.fitted import (
    FEWEST_PATIENTS,
    FewShot,
    FittedFinding,
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

USUAL = 1000  #: size of the random sample of past cases
FEWEST_USUAL = 100  #: a smaller sample is not used
FOLDS = 5  #: of the cross-validation
SEED = 0
STRENGTH = 10.0  #: C of the regression: embeddings have length 1, so weights must be large


@dataclass(frozen=True)
class HeldOutFit:
    """Figures of a fit on cases that it was not fitted to; None where unknown."""

    present: int  #: examples with the finding
    absent: int  #: examples without it
    sensitivity: float | None
    specificity: float | None
    auc: float | None
    flagged: float | None  #: share of past cases that it would flag


@dataclass(frozen=True)
class EmbeddedCase:
    """A case with its embedding."""

    case: Case
    embedding: NDArray[np.float32]  #: (D,), as stored in the library


def fit(
    finding: Finding, library: Library, prompts: NDArray[np.float32] | None
) -> tuple[FittedFinding, Sequence[str], HeldOutFit]:
    """Return the fit of a finding, the patients of its examples, and its held-out figures.

    `prompts` is the embeddings of the finding's prompts, (p, D); None if it has none.

    Raises:
        ConfigurationError: The examples are too few, or not in the library.
    """
    if finding.examples is None:
        raise ConfigurationError(f"finding {finding.id} has no examples")
    if finding.examples.confirmed:
        return _head(finding, library)
    return _few_shot(finding, finding.examples, library, prompts)


def _few_shot(
    finding: Finding, examples: Examples, library: Library, prompts: NDArray[np.float32] | None
) -> tuple[FittedFinding, Sequence[str], HeldOutFit]:
    present = _named(finding, library, examples.present)
    absent = _named(finding, library, examples.absent)
    usual = _usual(library, {*examples.present, *examples.absent})
    if not absent and len(usual) < FEWEST_USUAL:
        raise ConfigurationError(
            f"finding {finding.id}: list examples without it under `absent`: the library has fewer"
            f" than {FEWEST_USUAL} other cases to use instead"
        )
    if prompts is not None and len(usual) < FEWEST_USUAL:
        raise ConfigurationError(
            f"finding {finding.id}: prompts together with examples need a library of at least"
            f" {FEWEST_USUAL} other cases: remove the prompts or the examples"
        )
    shot = _means(_points(present), _points(absent), usual)
    beside, threshold = _combine_with_prompts(shot, prompts, usual)
    fitted = FittedFinding(
        finding=finding.id,
        asked=digest_question(finding),
        examples=_digests([*present, *absent]),
        patients_with=len(_patients(present)),
        patients_without=len(_patients(absent)),
        fit=shot,
        beside=beside,
        threshold=threshold,
    )
    groups = [group for group in (_points(present), _points(absent), usual) if len(group)]
    scores = fitted.scores(np.concatenate(groups), prompts)
    fitted = fitted.model_copy(update={"spread": _spread(scores).deviation})
    return (
        fitted,
        _patients([*present, *absent]),
        _leave_one_out(fitted, present, absent, usual, prompts),
    )


def _means(present: Embeddings, absent: Embeddings, usual: Embeddings) -> FewShot:
    """Return two class means, centred midway between the classes whatever their sizes."""
    others = absent if len(absent) else usual
    centre = (present.mean(axis=0) + others.mean(axis=0)) / 2
    near, far = (centre_embeddings(kind, centre).mean(axis=0) for kind in (present, others))
    return FewShot(centre=_vector(centre), present=_vector(near), absent=_vector(far))


def _combine_with_prompts(
    shot: FewShot, prompts: NDArray[np.float32] | None, usual: Embeddings
) -> tuple[ScoreScale | None, float]:
    """Return the scale that both scores share, and the threshold on it."""
    if prompts is None:
        return None, 0.0
    by_examples, by_prompts = shot.scores(usual), mean_cosines(prompts, usual)
    beside = ScoreScale(examples=_spread(by_examples), prompts=_spread(by_prompts))
    both = (beside.examples.standard(by_examples) + beside.prompts.standard(by_prompts)) / 2
    return beside, float(np.quantile(both, 1 - np.mean(by_examples > 0)))


def _leave_one_out(
    fitted: FittedFinding,
    present: Sequence[EmbeddedCase],
    absent: Sequence[EmbeddedCase],
    usual: Embeddings,
    prompts: NDArray[np.float32] | None,
) -> HeldOutFit:
    """Return the figures of fits that each leave out one example with all of its patient's."""

    def is_flagged(out: EmbeddedCase) -> bool | None:
        having, lacking = (
            _points([example for example in kind if example.case.patient != out.case.patient])
            for kind in (present, absent)
        )
        if not len(having) or (absent and not len(lacking)):
            return None
        left = fitted.model_copy(update={"fit": _means(having, lacking, usual)})
        return bool(left.scores(out.embedding[None], prompts)[0] > fitted.threshold)

    caught, alarms = (_flagged_share(kind, is_flagged) for kind in (present, absent))
    is_sample_large = len(usual) >= FEWEST_USUAL
    return HeldOutFit(
        present=len(present),
        absent=len(absent),
        sensitivity=caught,
        specificity=None if alarms is None else 1 - alarms,
        auc=None,
        flagged=float(np.mean(fitted.scores(usual, prompts) > fitted.threshold))
        if is_sample_large
        else None,
    )


def _flagged_share(
    examples: Sequence[EmbeddedCase], is_flagged: Callable[[EmbeddedCase], bool | None]
) -> float | None:
    """Return the share of examples that are flagged; None of fewer than 10 patients."""
    if len(_patients(examples)) < FEWEST_PATIENTS:
        return None
    results = [result for result in map(is_flagged, examples) if result is not None]
    return float(np.mean(results)) if results else None


def _head(finding: Finding, library: Library) -> tuple[FittedFinding, Sequence[str], HeldOutFit]:
    # Imported here: scikit-learn takes over a second to import, and only a trained head needs it.
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415
    from sklearn.metrics import roc_auc_score  # noqa: PLC0415
    from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict  # noqa: PLC0415

    known = list(_labelled_cases(library))
    truth = np.array([finding.id in item.case.confirmed for item in known], bool)
    having, lacking = (
        len({item.case.patient for item, holds in zip(known, truth, strict=True) if holds == kind})
        for kind in (True, False)
    )
    if min(having, lacking) < FEWEST_PATIENTS:
        raise ConfigurationError(
            f"finding {finding.id}: a trained head needs cases of {FEWEST_PATIENTS} patients with"
            f" the finding confirmed and of {FEWEST_PATIENTS} patients labelled without it; there"
            f" are {having} and {lacking}. Add labels in the column `confirmed` of a CSV file for"
            " triage index --reports"
        )
    points = _points(known)
    model = LogisticRegression(C=STRENGTH, class_weight="balanced", max_iter=2000)
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=SEED)
    patients = [item.case.patient for item in known]
    chance = cross_val_predict(
        model, points, truth, groups=patients, cv=folds, method="predict_proba"
    )[:, 1]
    threshold, sensitivity, specificity = _balanced(chance, truth)
    model.fit(points, truth)
    fitted = FittedFinding(
        finding=finding.id,
        asked=digest_question(finding),
        examples=_digests(known),
        patients_with=having,
        patients_without=lacking,
        fit=Head(weights=_vector(model.coef_[0]), intercept=float(model.intercept_[0])),
        threshold=threshold,
        spread=_spread(chance).deviation,
    )
    auc = float(roc_auc_score(truth, chance))
    flagged = float(np.mean(chance > threshold))
    figures = HeldOutFit(
        int(truth.sum()), int((~truth).sum()), sensitivity, specificity, auc, flagged
    )
    return fitted, _patients(known), figures


def _balanced(chance: Numbers, truth: NDArray[np.bool_]) -> tuple[float, float, float]:
    """Return the threshold where sensitivity is nearest to specificity, and both values there."""
    from sklearn.metrics import roc_curve  # noqa: PLC0415 - as in _head

    false, true, thresholds = roc_curve(truth, chance, drop_intermediate=False)
    place = int(np.argmin(np.abs(true - (1 - false))))
    # A flag needs a score above the threshold, but the curve counts scores equal to it.
    threshold = float(np.nextafter(min(thresholds[place], 1.0), 0))
    return threshold, float(true[place]), float(1 - false[place])


def _named(finding: Finding, library: Library, uids: Sequence[str]) -> list[EmbeddedCase]:
    known = {uid: _embedded_case(library, uid) for uid in uids}
    if missing := [uid for uid, item in known.items() if item is None]:
        raise ConfigurationError(
            f"finding {finding.id}: this bundle has no case of {', '.join(missing)}; assess the"
            " study, or add it with `triage index`"
        )
    return [item for item in known.values() if item is not None]


def _labelled_cases(library: Library) -> Iterator[EmbeddedCase]:
    """Yield the cases labelled with confirmed findings; an impression alone is no label."""
    for uid in list(library.list_study_uids()):
        case = library.get_case(uid)
        if case is not None and case.labelled:
            known = _embedded_case(library, uid)
            if known is not None:
                yield known


def _embedded_case(library: Library, study_uid: str) -> EmbeddedCase | None:
    case, embedding = library.get_case(study_uid), library.get_embedding(study_uid)
    return None if case is None or embedding is None else EmbeddedCase(case, embedding)


def _usual(library: Library, but: set[str]) -> Embeddings:
    """Return the embeddings of a reproducible random sample of past cases, (n, D)."""
    uids = [uid for uid in library.list_study_uids() if uid not in but]
    drawn = np.random.default_rng(SEED).permutation(len(uids))[:USUAL]
    found = [library.get_embedding(uids[place]) for place in sorted(drawn)]
    return np.array([vector for vector in found if vector is not None], np.float32)


def _points(known: Sequence[EmbeddedCase]) -> Embeddings:
    return np.array([item.embedding for item in known], np.float32)


def _digests(known: Sequence[EmbeddedCase]) -> Mapping[str, str]:
    return {
        item.case.study_uid: hashlib.sha256(item.embedding.tobytes()).hexdigest() for item in known
    }


def _patients(known: Sequence[EmbeddedCase]) -> list[str]:
    return sorted({item.case.patient for item in known})


def _spread(scores: Numbers) -> ScoreSpread:
    return ScoreSpread(mean=float(scores.mean()), deviation=max(float(scores.std()), 1e-9))


def _vector(numbers: NDArray[np.floating]) -> tuple[float, ...]:
    return tuple(float(number) for number in numbers)
