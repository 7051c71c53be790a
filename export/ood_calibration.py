"""Calibrates out-of-distribution detection: portraits of known hearts, and the distance limit.

No heart is compared with itself: the distances that set the limit are cross-validated, with mean
and matrix from the other folds, as for a new heart. The limit is a tolerance limit: with a
confidence of
0.9, at most one in a hundred of all such hearts is beyond it; the plain 99th percentile would be
wrong in half of all draws. Neither labels nor a model are needed, so the pairs may be those of the
training, or any of a site's own.
"""

from math import exp, lgamma, log

import numpy as np
from numpy.typing import NDArray

from export.pairs import Pairs
from triage.model.bundle import (
    CALIBRATION,
    OOD_REFERENCE,
    Bundle,
    ClipForm,
    OutOfDistributionLimit,
    hash_file,
    open_bundle,
    write_calibration,
    write_manifest,
)
from triage.model.out_of_distribution import (
    FEATURE_LENGTH,
    ReferenceStatistics,
    compute_distances,
    compute_features,
    has_fixed_frames,
)
from triage.ports.encoder import Frames

FALSE_ALARMS, CONFIDENCE = 0.01, 0.9
FOLDS = 5
SHRUNK = 0.01  #: share of the covariance that is taken from its diagonal
FLOOR = 1e-4  #: variance of grey (0 to 1) that is added: a hundredth, squared
LEAST = 2 * FEATURE_LENGTH  #: hearts that show a view, for it to be compared at all


def calibrate_familiarity(bundle: Bundle, pairs: Pairs) -> Bundle:
    """Write familiar.npy and its limit into a calibrated bundle; return the bundle with them.

    With unsuitable pairs, the bundle has no limit and no study is judged out-of-distribution.
    """
    assert bundle.calibration is not None  # noqa: S101 - the caller has just calibrated it
    found = fit_limit(pairs)
    files = {name: sha for name, sha in bundle.manifest.files.items() if name != OOD_REFERENCE}
    known = None
    if found is not None:
        familiar, known = found
        np.save(bundle.path / OOD_REFERENCE, familiar)
        files[OOD_REFERENCE] = hash_file(bundle.path / OOD_REFERENCE)
    else:
        (bundle.path / OOD_REFERENCE).unlink(missing_ok=True)
    calibration = bundle.calibration.model_copy(update={"familiarity": known})
    write_calibration(bundle.path, calibration)
    files[CALIBRATION] = hash_file(bundle.path / CALIBRATION)
    write_manifest(bundle.path, bundle.manifest.model_copy(update={"files": files}))
    return open_bundle(bundle.path)


def fit_limit(pairs: Pairs) -> tuple[ReferenceStatistics, OutOfDistributionLimit] | None:
    """Return mean and whitening matrix of each view, and the distance limit.

    None if the clips have no slots of stated length, or the pairs are too few for a limit.
    """
    beyond = exceedances_allowed(len(pairs))
    if beyond is None or not has_fixed_frames(pairs.form):
        return None
    seen = portraits_of(pairs)  # (N, V, P)
    fold = np.arange(len(pairs)) % FOLDS
    held = np.empty(len(pairs))
    for held_fold in range(FOLDS):
        inside = fold == held_fold
        held[inside] = farthest_view(compute_distances(seen[inside], fit_views(seen[~inside])))
    limit = float(np.sort(held)[-1 - beyond])
    if not np.isfinite(limit):  # no view is shown by enough hearts
        return None
    known = OutOfDistributionLimit(
        limit=limit, false_alarms=FALSE_ALARMS, confidence=CONFIDENCE, hearts=len(pairs)
    )
    return fit_views(seen), known


def exceedances_allowed(hearts: int) -> int | None:
    """Return how many of `hearts` may exceed the limit; None if `hearts` is too few.

    A tolerance limit (Wilks 1941): if more than the stated share of all hearts exceeded it, so few
    of these would be improbable.
    """
    beyond = 0
    chance = _chance(0, hearts)
    while chance <= 1 - CONFIDENCE:
        beyond += 1
        chance += _chance(beyond, hearts)
    return beyond - 1 if beyond else None


def portraits_of(pairs: Pairs) -> NDArray[np.float64]:
    """Return the portraits of all pairs, (N, V, P)."""
    clips = map(pairs.clip, range(len(pairs)))
    return np.stack(
        [compute_features(clip, pairs.form, views_shown(clip, pairs.form)) for clip in clips]
    )


def views_shown(clip: Frames, form: ClipForm) -> list[str]:
    """Return the views that a clip (F, H, W) shows; the frames of a missing one are black."""
    ends = np.cumsum([slot.length or 0 for slot in form.layout])
    parts = zip(form.layout, np.split(clip, ends), strict=False)
    return [slot.view for slot, frames in parts if frames.any()]


def fit_views(seen: NDArray[np.float64]) -> ReferenceStatistics:
    """Return mean and whitening matrix of each view's portraits (N, V, P)."""
    return np.stack([_fit_view(seen[:, view]) for view in range(seen.shape[1])]).astype(np.float32)


def farthest_view(far: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the largest distance over the views of each study, (N,), from (N, V)."""
    foremost: NDArray[np.float64] = np.max(np.where(np.isnan(far), -np.inf, far), axis=1)
    return foremost


def _chance(beyond: int, hearts: int) -> float:
    """Return the binomial probability of exactly `beyond` exceedances."""
    ways = lgamma(hearts + 1) - lgamma(beyond + 1) - lgamma(hearts - beyond + 1)
    return exp(ways + beyond * log(FALSE_ALARMS) + (hearts - beyond) * log(1 - FALSE_ALARMS))


def _fit_view(seen: NDArray[np.float64]) -> NDArray[np.float64]:
    views_shown = seen[~np.isnan(seen[:, 0])]
    if len(views_shown) < LEAST:
        return np.full((1 + FEATURE_LENGTH, FEATURE_LENGTH), np.nan)
    spread = np.cov(views_shown.T)
    own = np.diag(np.diag(spread))
    spread = (1 - SHRUNK) * spread + SHRUNK * own + FLOOR * np.eye(FEATURE_LENGTH)
    root = np.linalg.cholesky(spread)
    return np.vstack([views_shown.mean(0), np.linalg.inv(root).T])
