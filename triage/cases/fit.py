"""Fits a finding from example cases, and measures the fit on held-out cases.

Few examples become two class means (SimpleShot). Without examples that lack the finding, a random
sample of past cases is used instead, because most cases lack any one finding; such a fit has no
threshold and flags nothing. With prompts in addition, the score is the mean of both scores on one
scale. A threshold is halfway between the mean held-out scores of examples with and without the
finding. All cases labelled as confirmed or not confirmed train a logistic regression; its
thresholds are where sensitivity is nearest to specificity on held-out cases. Each set of views has
a threshold of its own (`held_out`).

Invariants:
    A case is scored by a fit that has seen no case of the same patient
    (test_other_studies_of_a_patient_do_not_improve_the_figures).

The share of past cases that a fit of few examples would flag is measured on other cases.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from triage.cases.held_out import HeldOutFit, HeldOutScores, Truth, flag_cases, share
from triage.domain.case import Case
from triage.domain.errors import ConfigurationError
from triage.domain.finding import Examples, Finding
from triage.model.bundle import ClipForm
from triage.model.fitted import (
    FEWEST_PATIENTS,
    FewShot,
    FittedFinding,
    Head,
    Numbers,
    ScoreScale,
    centre_embeddings,
    digest_question,
    measure_spread,
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
class EmbeddedCase:
    """A case with its embedding."""

    case: Case
    embedding: NDArray[np.float32]  #: (D,), as stored in the library


def fit(
    finding: Finding, library: Library, prompts: NDArray[np.float32] | None, form: ClipForm
) -> tuple[FittedFinding, Sequence[str], HeldOutFit]:
    """Return the fit of a finding, the patients of its examples, and its held-out figures.

    `prompts` is the embeddings of the finding's prompts, (p, D); None if it has none. `form` is of
    the bundle's clips.

    Raises:
        ConfigurationError: The examples are too few, or not in the library.
    """
    if finding.examples is None:
        raise ConfigurationError(f"finding {finding.id} has no examples")
    if finding.examples.confirmed:
        return _head(finding, library, form)
    return _few_shot(finding, finding.examples, library, prompts, form)


def _few_shot(
    finding: Finding,
    examples: Examples,
    library: Library,
    prompts: NDArray[np.float32] | None,
    form: ClipForm,
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
    shot = _means(_points(present), _points(absent or usual))
    fitted = FittedFinding(
        finding=finding.id,
        asked=digest_question(finding),
        examples=_digests([*present, *absent]),
        fit=shot,
        beside=None if prompts is None else _scale(shot, prompts, _points(usual)),
    )
    held_out = _hold_out(fitted, present, absent, prompts, form)
    fitted = fitted.model_copy(update={"by_views": held_out.set_thresholds(_halfway)})
    flagged = None
    if len(usual) >= FEWEST_USUAL:
        scores = fitted.scores(_points(usual), prompts)
        flagged = share(flag_cases(_cases(usual), scores, fitted.by_views, form))
    figures = held_out.measure(fitted.by_views, auc=None, flagged=flagged)
    return fitted, _patients([*present, *absent]), figures


def _means(present: Embeddings, others: Embeddings) -> FewShot:
    """Return two class means, centred midway between the classes whatever their sizes."""
    centre = (present.mean(axis=0) + others.mean(axis=0)) / 2
    near, far = (centre_embeddings(kind, centre).mean(axis=0) for kind in (present, others))
    return FewShot(centre=_vector(centre), present=_vector(near), absent=_vector(far))


def _scale(shot: FewShot, prompts: NDArray[np.float32], usual: Embeddings) -> ScoreScale:
    """Return the scale that the scores of examples and of prompts share."""
    return ScoreScale(
        examples=measure_spread(shot.scores(usual)),
        prompts=measure_spread(mean_cosines(prompts, usual)),
    )


def _hold_out(
    fitted: FittedFinding,
    present: Sequence[EmbeddedCase],
    absent: Sequence[EmbeddedCase],
    prompts: NDArray[np.float32] | None,
    form: ClipForm,
) -> HeldOutScores:
    """Return the scores of fits that each leave out one example with all of its patient's."""

    def score(out: EmbeddedCase) -> float:
        having, lacking = (
            _points([example for example in kind if example.case.patient != out.case.patient])
            for kind in (present, absent)
        )
        if not len(having) or not len(lacking):
            return np.nan
        left = fitted.model_copy(update={"fit": _means(having, lacking)})
        return float(left.scores(out.embedding[None], prompts)[0])

    examples = [*present, *absent]
    truth = np.arange(len(examples)) < len(present)
    return HeldOutScores(_cases(examples), truth, np.array([*map(score, examples)]), form)


def _halfway(scores: Numbers, truth: Truth) -> float:
    """Return the score halfway between the mean of cases with the finding and of those without."""
    return float(scores[truth].mean() + scores[~truth].mean()) / 2


def _head(
    finding: Finding, library: Library, form: ClipForm
) -> tuple[FittedFinding, Sequence[str], HeldOutFit]:
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
    held_out = HeldOutScores(_cases(known), truth, chance, form)
    model.fit(points, truth)
    fitted = FittedFinding(
        finding=finding.id,
        asked=digest_question(finding),
        examples=_digests(known),
        fit=Head(weights=_vector(model.coef_[0]), intercept=float(model.intercept_[0])),
        by_views=held_out.set_thresholds(_balance),
    )
    figures = held_out.measure(
        fitted.by_views,
        auc=float(roc_auc_score(truth, chance)),
        flagged=share(flag_cases(_cases(known), chance, fitted.by_views, form)),
    )
    return fitted, _patients(known), figures


def _balance(chance: Numbers, truth: Truth) -> float:
    """Return the threshold where sensitivity is nearest to specificity."""
    from sklearn.metrics import roc_curve  # noqa: PLC0415 - as in _head

    false, true, thresholds = roc_curve(truth, chance, drop_intermediate=False)
    place = int(np.argmin(np.abs(true - (1 - false))))
    # A flag needs a score above the threshold, but the curve counts scores equal to it.
    return float(np.nextafter(min(thresholds[place], 1.0), 0))


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


def _usual(library: Library, but: set[str]) -> list[EmbeddedCase]:
    """Return a reproducible random sample of past cases."""
    uids = [uid for uid in library.list_study_uids() if uid not in but]
    drawn = np.random.default_rng(SEED).permutation(len(uids))[:USUAL]
    found = [_embedded_case(library, uids[place]) for place in sorted(drawn)]
    return [known for known in found if known is not None]


def _points(known: Sequence[EmbeddedCase]) -> Embeddings:
    return np.array([item.embedding for item in known], np.float32)


def _cases(known: Sequence[EmbeddedCase]) -> list[Case]:
    return [item.case for item in known]


def _digests(known: Sequence[EmbeddedCase]) -> Mapping[str, str]:
    return {
        item.case.study_uid: hashlib.sha256(item.embedding.tobytes()).hexdigest() for item in known
    }


def _patients(known: Sequence[EmbeddedCase]) -> list[str]:
    return sorted({item.case.patient for item in known})


def _vector(numbers: NDArray[np.floating]) -> tuple[float, ...]:
    return tuple(float(number) for number in numbers)
