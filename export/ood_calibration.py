"""What a bundle shall take for familiar: the portraits of hearts that it knows, and the limit.

Rule: no heart is compared with itself. Distances that the limit is set on come from folds: mean and
matrix of the others, as a new heart would meet them. The limit is a tolerance limit: so few hearts
lie beyond it that, with a confidence of 0.9, at most one in a hundred of all such hearts does; the
hundredth part itself would be wrong in half of all draws. No label and no model is needed, so these
may be the very pairs of the training, or any of a site's own.
"""

from math import exp, lgamma, log

import numpy as np
from numpy.typing import NDArray

from export.pairs import Pairs
from triage.model.bundle import (
    CALIBRATION,
    FAMILIAR,
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


def familiarise(bundle: Bundle, pairs: Pairs) -> Bundle:
    """Write familiar.npy and its limit into a calibrated bundle; return the bundle with them.

    Where the pairs do not do for that, the bundle tells of no study how familiar it is.
    """
    assert bundle.calibration is not None  # noqa: S101 - the caller has just calibrated it
    found = learned(pairs)
    files = {name: each for name, each in bundle.manifest.files.items() if name != FAMILIAR}
    known = None
    if found is not None:
        familiar, known = found
        np.save(bundle.path / FAMILIAR, familiar)
        files[FAMILIAR] = hash_file(bundle.path / FAMILIAR)
    else:
        (bundle.path / FAMILIAR).unlink(missing_ok=True)
    calibration = bundle.calibration.model_copy(update={"familiarity": known})
    write_calibration(bundle.path, calibration)
    files[CALIBRATION] = hash_file(bundle.path / CALIBRATION)
    write_manifest(bundle.path, bundle.manifest.model_copy(update={"files": files}))
    return open_bundle(bundle.path)


def learned(pairs: Pairs) -> tuple[ReferenceStatistics, OutOfDistributionLimit] | None:
    """Return what the hearts of some pairs look like, and the limit of what is like them.

    None where their clips do not tell views apart, or where they are too few for the limit.
    """
    beyond = allowed(len(pairs))
    if beyond is None or not has_fixed_frames(pairs.form):
        return None
    seen = looks(pairs)  # (N, V, P)
    fold = np.arange(len(pairs)) % FOLDS
    held = np.empty(len(pairs))
    for each in range(FOLDS):
        held[fold == each] = strangest(
            compute_distances(seen[fold == each], fitted(seen[fold != each]))
        )
    limit = float(np.sort(held)[-1 - beyond])
    if not np.isfinite(limit):  # no view is shown by enough hearts
        return None
    known = OutOfDistributionLimit(
        limit=limit, false_alarms=FALSE_ALARMS, confidence=CONFIDENCE, hearts=len(pairs)
    )
    return fitted(seen), known


def allowed(hearts: int) -> int | None:
    """Return how many of so many hearts may lie beyond the limit; None where they are too few.

    Were more than the stated share of all beyond, so few of these would hardly be (Wilks 1941).
    """
    beyond = 0
    chance = _chance(0, hearts)
    while chance <= 1 - CONFIDENCE:
        beyond += 1
        chance += _chance(beyond, hearts)
    return beyond - 1 if beyond else None


def looks(pairs: Pairs) -> NDArray[np.float64]:
    """Return the portraits of all pairs, (N, V, P)."""
    clips = (np.asarray(pairs.frames[place]) for place in range(len(pairs)))
    return np.stack([compute_features(clip, pairs.form, shown(clip, pairs.form)) for clip in clips])


def shown(clip: Frames, form: ClipForm) -> list[str]:
    """Return the views that a clip (F, H, W) shows; the frames of a missing one are black."""
    ends = np.cumsum([slot.length or 0 for slot in form.layout])
    parts = zip(form.layout, np.split(clip, ends), strict=False)
    return [slot.view for slot, frames in parts if frames.any()]


def fitted(seen: NDArray[np.float64]) -> ReferenceStatistics:
    """Return mean and whitening matrix of each view's portraits (N, V, P)."""
    return np.stack([_fitted(seen[:, view]) for view in range(seen.shape[1])]).astype(np.float32)


def strangest(far: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the distance of the strangest view of each study, (N,), of (N, V)."""
    foremost: NDArray[np.float64] = np.max(np.where(np.isnan(far), -np.inf, far), axis=1)
    return foremost


def _chance(beyond: int, hearts: int) -> float:
    """Return the chance that exactly so many lie beyond, were it the stated share of all."""
    ways = lgamma(hearts + 1) - lgamma(beyond + 1) - lgamma(hearts - beyond + 1)
    return exp(ways + beyond * log(FALSE_ALARMS) + (hearts - beyond) * log(1 - FALSE_ALARMS))


def _fitted(seen: NDArray[np.float64]) -> NDArray[np.float64]:
    shown = seen[~np.isnan(seen[:, 0])]
    if len(shown) < LEAST:
        return np.full((1 + FEATURE_LENGTH, FEATURE_LENGTH), np.nan)
    spread = np.cov(shown.T)
    own = np.diag(np.diag(spread))
    spread = (1 - SHRUNK) * spread + SHRUNK * own + FLOOR * np.eye(FEATURE_LENGTH)
    root = np.linalg.cholesky(spread)
    return np.vstack([shown.mean(0), np.linalg.inv(root).T])
