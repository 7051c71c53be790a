"""Out-of-distribution detection: how far a study's frames are from those that the model knows.

Each view is described by features: the mean of its frames in 8 by 8 cells, the mean grey-level
spread within the cells, and the mean spread over its frames, because a heart moves. For each view,
the bundle carries the mean features of the hearts it knows and a matrix that whitens their
differences. The distance of a view is the length of the whitened difference (Mahalanobis), the
distance of a study is that of its most distant view. The limit was set on hearts held out of mean
and matrix.

Features of frames are used instead of embeddings, because a network that was trained on hearts only
embeds chest CT and noise among the hearts. Measured on drawn CT at a false-alarm rate of one in a
hundred: the mean cosine to the ten nearest embeddings detects none, the Mahalanobis distance of
embeddings 0.22 (Lee et al. 2018), the distance used here all. A mean and a matrix over hundreds of
hearts show no individual heart, so a bundle made from patients' studies can be passed on; their
embeddings could not.
"""

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from triage.domain.assessment import Familiarity
from triage.model.bundle import Bundle, ClipForm
from triage.ports.encoder import Frames

GRID_SIDE = 8  #: cells across and down
#: P: features of a view. Bundles that were calibrated before motion was one of them have one fewer.
FEATURE_LENGTH = GRID_SIDE * GRID_SIDE + 2
WHITE = 255

ViewFeatures = NDArray[np.float64]  #: (views, P); NaN where a view is missing
ReferenceStatistics = NDArray[np.float32]  #: (views, 1 + P, P): mean, and whitening matrix


def measure_familiarity(clip: Frames, views: Collection[str], bundle: Bundle) -> Familiarity | None:
    """Return the distance of a clip (F, H, W) from the hearts that a bundle knows.

    `views` are the view slots that the study filled. Returns None if the bundle has no reference
    statistics or limit, or if the study shows no view that they cover.
    """
    known = bundle.calibration.familiarity if bundle.calibration else None
    if known is None or bundle.ood_reference is None:
        return None
    form = bundle.manifest.clip
    distances = compute_distances(compute_features(clip, form, views), bundle.ood_reference)
    if np.isnan(distances).all():
        return None
    strangest = int(np.nanargmax(distances))
    return Familiarity(
        distance=float(distances[strangest]),
        limit=known.limit,
        strangest_view=form.layout[strangest].view,
    )


def has_fixed_frames(form: ClipForm) -> bool:
    """Return whether every frame of such a clip has a fixed view, as `compute_features` needs."""
    is_stated = all(slot.length is not None for slot in form.layout)
    is_sampled = sum(slot.length or 0 for slot in form.layout) > form.frames
    is_black = form.preprocessing.missing == "black"
    return is_stated and is_black and not is_sampled and min(form.height, form.width) >= GRID_SIDE


def compute_features(clip: Frames, form: ClipForm, views: Collection[str]) -> ViewFeatures:
    """Return the features of each view of a clip (F, H, W); see `has_fixed_frames` for `form`."""
    features = np.full((len(form.layout), FEATURE_LENGTH), np.nan)
    first = 0
    for index, slot in enumerate(form.layout):
        length = slot.length or 0
        if slot.view in views:
            features[index] = _view_features(clip[first : first + length])
        first += length
    return features


def compute_distances(
    features: ViewFeatures, reference: ReferenceStatistics
) -> NDArray[np.float64]:
    """Return the distance of each view (..., views) in usual deviations; NaN if missing."""
    known = reference.shape[-1]
    differences = features[..., :known] - reference[:, 0]  # (..., V, P)
    whitened = np.einsum("...vp,vpq->...vq", differences, reference[:, 1:].astype(np.float64))
    lengths: NDArray[np.float64] = np.linalg.norm(whitened, axis=-1) / np.sqrt(known)
    return lengths


def _view_features(frames: Frames) -> NDArray[np.float64]:
    grey = frames / WHITE  # (f, H, W)
    mean = _cell_means(grey)  # (f, GRID_SIDE, GRID_SIDE)
    spread = np.sqrt(np.maximum(_cell_means(grey**2) - mean**2, 0))
    return np.append(mean.mean(0), [spread.mean(), grey.std(0).mean()])


def _cell_means(grey: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the means of the cells of frames (f, H, W), (f, GRID_SIDE, GRID_SIDE)."""
    for axis in (1, 2):
        length = grey.shape[axis]
        edges = np.arange(GRID_SIDE) * length // GRID_SIDE
        widths = np.diff(edges, append=length)
        summed = np.add.reduceat(grey, edges, axis=axis)
        grey = summed / (widths[:, None] if axis == 1 else widths)
    return grey
