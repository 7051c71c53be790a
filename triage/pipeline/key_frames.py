"""The key frames of an assessment: which images made the flags, and their pictures for the page.

Rule: of flagged findings alone, for that is what somebody looks at; a study without a flag costs
nothing more. The pictures show what the model saw, the same square and window, in finer pixels.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from triage.domain.assessment import Answer, KeyFrame, SourceImage, UsedView
from triage.imaging.clip import FrameSource, prepare_view
from triage.imaging.geometry import Vector
from triage.imaging.series import ChosenView
from triage.model.bundle import ClipForm
from triage.model.relevance import RelevantFrame

Pictures = Mapping[SourceImage, NDArray[np.uint8]]  #: grey, (H, W)

FINE = 256  #: rows and columns of a picture, at least; about an MR image's own


def key_frames(
    found: Sequence[RelevantFrame], origins: Sequence[FrameSource | None], used: Sequence[UsedView]
) -> tuple[KeyFrame, ...]:
    """Return the images behind the frames of a clip; `origins` are its own."""
    images = {view.view: view.images for view in used}
    sources = [(maker, origins[maker.place]) for maker in found]
    return tuple(
        KeyFrame(origin.view, images[origin.view][origin.image], maker.relevance)
        for maker, origin in sources
        if origin is not None  # a black frame makes no score
    )


def pictures(
    answers: Sequence[Answer],
    used: Sequence[tuple[ChosenView, UsedView]],
    form: ClipForm,
    heart: Vector | None,
    read: Callable[[str], bytes],
) -> Pictures:
    """Return the pictures of the answers' key frames; raise DamagedInstance."""
    shown = {key.image for answer in answers for key in answer.key_frames}
    fine = form.model_copy(
        update={"height": max(FINE, form.height), "width": max(FINE, form.width)}
    )
    found: dict[SourceImage, NDArray[np.uint8]] = {}
    for chosen, view in used:
        if shown.intersection(view.images):  # the window is the view's, so all of it is decoded
            grey = prepare_view(chosen, fine, heart, read)
            found |= {i: p for i, p in zip(view.images, grey, strict=True) if i in shown}
    return found
