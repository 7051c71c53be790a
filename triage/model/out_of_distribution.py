"""How far a study lies from those that the model knows, by what its frames look like.

Each view becomes a portrait: its frames' mean in 8 by 8 cells, and how much grey varies within a
cell. The bundle carries, of each view, the mean portrait of the hearts it knows and a matrix
that whitens their differences; a view's distance is the length of what is left (Mahalanobis), and
a study's is that of its strangest view. The limit was set on hearts held out of mean and matrix.

Rule: the frames are looked at, not the embedding. A network that was never shown anything else
puts chest CT and noise amid the hearts: of drawn CT, the mean cosine to the ten nearest embeddings
catches none at one false alarm in a hundred, Mahalanobis distance of embeddings 0.22 (Lee et al.
2018), and this here all. A mean and a matrix of hundreds of hearts show nobody's heart, so that a
bundle made from patients' studies can be passed on; their embeddings could not.
"""

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from triage.domain.assessment import Familiarity
from triage.model.bundle import Bundle, ClipForm
from triage.ports.encoder import Frames

GRID_SIDE = 8  #: cells of a portrait, across and down
FEATURE_LENGTH = GRID_SIDE * GRID_SIDE + 1  #: P: values of a portrait
WHITE = 255

ViewFeatures = NDArray[np.float64]  #: (views, P); NaN where a view is missing
ReferenceStatistics = NDArray[np.float32]  #: (views, 1 + P, P): the mean, and the whitening matrix


def measure_familiarity(clip: Frames, views: Collection[str], bundle: Bundle) -> Familiarity | None:
    """Return how familiar a clip (F, H, W) is to a bundle, None where the bundle cannot tell.

    `views` are the view slots that the study filled.
    """
    known = bundle.calibration.familiarity if bundle.calibration else None
    if known is None or bundle.familiar is None:
        return None
    form = bundle.manifest.clip
    far = compute_distances(compute_features(clip, form, views), bundle.familiar)
    if np.isnan(far).all():
        return None
    strangest = int(np.nanargmax(far))
    return Familiarity(
        distance=float(far[strangest]),
        limit=known.limit,
        strangest_view=form.layout[strangest].view,
    )


def has_fixed_frames(form: ClipForm) -> bool:
    """Tell whether a clip of this form says which of its frames are of which view."""
    stated = all(slot.length is not None for slot in form.layout)
    sampled = sum(slot.length or 0 for slot in form.layout) > form.frames
    black = form.preprocessing.missing == "black"
    return stated and black and not sampled and min(form.height, form.width) >= GRID_SIDE


def compute_features(clip: Frames, form: ClipForm, views: Collection[str]) -> ViewFeatures:
    """Return the portrait of each view of a clip (F, H, W) whose form is `has_fixed_frames`."""
    found = np.full((len(form.layout), FEATURE_LENGTH), np.nan)
    first = 0
    for place, slot in enumerate(form.layout):
        length = slot.length or 0
        if slot.view in views:
            found[place] = _portrait(clip[first : first + length])
        first += length
    return found


def compute_distances(seen: ViewFeatures, familiar: ReferenceStatistics) -> NDArray[np.float64]:
    """Return how far each view lies, (..., views), in usual deviations; NaN for a missing one."""
    apart = seen - familiar[:, 0]  # (..., V, P)
    whitened = np.einsum("...vp,vpq->...vq", apart, familiar[:, 1:].astype(np.float64))
    lengths: NDArray[np.float64] = np.linalg.norm(whitened, axis=-1) / np.sqrt(FEATURE_LENGTH)
    return lengths


def _portrait(frames: Frames) -> NDArray[np.float64]:
    grey = frames / WHITE  # (f, H, W)
    mean = _cells(grey)  # (f, SIDE, SIDE)
    spread = np.sqrt(np.maximum(_cells(grey**2) - mean**2, 0))
    return np.append(mean.mean(0), spread.mean())


def _cells(grey: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the means of the cells of frames (f, H, W), (f, SIDE, SIDE)."""
    for axis in (1, 2):
        length = grey.shape[axis]
        edges = np.arange(GRID_SIDE) * length // GRID_SIDE
        widths = np.diff(edges, append=length)
        summed = np.add.reduceat(grey, edges, axis=axis)
        grey = summed / (widths[:, None] if axis == 1 else widths)
    return grey
