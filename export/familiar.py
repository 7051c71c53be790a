"""What a bundle shall take for familiar: the portraits of its calibration hearts, and the limit.

Rule: no heart is compared with itself. Distances that the limit is set on come from folds: mean and
matrix of the others, as a new heart would meet them. The limit is a tolerance limit: so many hearts
lie beyond it that, with a confidence of 0.9, at most one in a hundred of all such hearts does. Of
500 that is one; the hundredth part itself would be right only in half of all draws. No label is
needed, so a site may calibrate with any of its own studies.
"""

from math import comb

import numpy as np
from numpy.typing import NDArray

from export.pairs import Pairs
from triage.model.bundle import ClipForm, Known
from triage.model.familiarity import (
    LENGTH,
    Familiar,
    distances,
    portraits,
    tellable,
)
from triage.ports import Frames

FALSE_ALARMS, CONFIDENCE = 0.01, 0.9
FOLDS = 5
SHRUNK = 0.01  #: share of the covariance that is taken from its diagonal
FLOOR = 1e-4  #: variance of grey (0 to 1) that is added: a hundredth, squared
LEAST = 2 * LENGTH  #: hearts that show a view, for it to be compared at all


def learned(pairs: Pairs) -> tuple[Familiar, Known] | None:
    """Return what the hearts of some pairs look like, and the limit of what is like them.

    None where their clips do not tell views apart, or where they are too few for the limit.
    """
    beyond = allowed(len(pairs))
    if beyond is None or not tellable(pairs.form):
        return None
    seen = looks(pairs)  # (N, V, P)
    fold = np.arange(len(pairs)) % FOLDS
    held = np.empty(len(pairs))
    for each in range(FOLDS):
        held[fold == each] = strangest(distances(seen[fold == each], fitted(seen[fold != each])))
    limit = float(np.sort(held)[-1 - beyond])
    if not np.isfinite(limit):  # no view is shown by enough hearts
        return None
    known = Known(limit=limit, false_alarms=FALSE_ALARMS, confidence=CONFIDENCE, hearts=len(pairs))
    return fitted(seen), known


def allowed(hearts: int) -> int | None:
    """Return how many of so many hearts may lie beyond the limit; None where they are too few.

    With that many beyond, the chance that more than the stated share of all lies beyond is small
    (Wilks 1941: an order statistic as tolerance limit).
    """
    chance, beyond = 0.0, -1
    while True:
        further = beyond + 1
        chance += (
            comb(hearts, further) * FALSE_ALARMS**further * (1 - FALSE_ALARMS) ** (hearts - further)
        )
        if chance > 1 - CONFIDENCE:
            return None if beyond < 0 else beyond
        beyond = further


def looks(pairs: Pairs) -> NDArray[np.float64]:
    """Return the portraits of all pairs, (N, V, P)."""
    clips = (np.asarray(pairs.frames[place]) for place in range(len(pairs)))
    return np.stack([portraits(clip, pairs.form, shown(clip, pairs.form)) for clip in clips])


def shown(clip: Frames, form: ClipForm) -> list[str]:
    """Return the views that a clip (F, H, W) shows; the frames of a missing one are black."""
    ends = np.cumsum([slot.length or 0 for slot in form.layout])
    parts = zip(form.layout, np.split(clip, ends), strict=False)
    return [slot.view for slot, frames in parts if frames.any()]


def fitted(seen: NDArray[np.float64]) -> Familiar:
    """Return mean and whitening matrix of each view's portraits (N, V, P)."""
    return np.stack([_fitted(seen[:, view]) for view in range(seen.shape[1])]).astype(np.float32)


def strangest(far: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the distance of the strangest view of each study, (N,), of (N, V)."""
    foremost: NDArray[np.float64] = np.max(np.where(np.isnan(far), -np.inf, far), axis=1)
    return foremost


def _fitted(seen: NDArray[np.float64]) -> NDArray[np.float64]:
    shown = seen[~np.isnan(seen[:, 0])]
    if len(shown) < LEAST:
        return np.full((1 + LENGTH, LENGTH), np.nan)
    spread = np.cov(shown.T)
    own = np.diag(np.diag(spread))
    spread = (1 - SHRUNK) * spread + SHRUNK * own + FLOOR * np.eye(LENGTH)
    root = np.linalg.cholesky(spread)
    return np.vstack([shown.mean(0), np.linalg.inv(root).T])
