"""Key frames: the images that contributed most to a flag, and their pictures for the report page.

They are of the finding's own views; a flag to which none of these contributed states so. Only
flagged findings have key frames, so a study without a flag costs no extra time. A picture shows the
same square and window that the model was given, at a higher resolution.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from triage.domain.assessment import Answer, KeyFrame, SourceImage, UsedView
from triage.domain.reasons import ReasonCode, because
from triage.imaging.clip import FrameSource, prepare_view
from triage.imaging.geometry import Vector
from triage.imaging.series import ChosenView
from triage.model.bundle import ClipForm
from triage.model.relevance import RelevantFrame

Pictures = Mapping[SourceImage, NDArray[np.uint8]]  #: grey, (H, W)

FINE = 256  #: least rows and columns of a picture, about the resolution of an MR image


def list_key_frames(
    found: Sequence[RelevantFrame], origins: Sequence[FrameSource | None], used: Sequence[UsedView]
) -> tuple[KeyFrame, ...]:
    """Return the images behind frames of a clip; `origins` has one entry for each frame."""
    images = {view.view: view.images for view in used}
    sources = [(frame, origins[frame.place]) for frame in found]
    return tuple(
        KeyFrame(origin.view, images[origin.view][origin.image], frame.relevance)
        for frame, origin in sources
        if origin is not None  # a black frame contributes nothing
    )


def illustrate(flagged: Answer, frames: tuple[KeyFrame, ...]) -> Answer:
    """Return a flagged answer with its key frames, or with the reason why it has none."""
    if frames:
        return replace(flagged, key_frames=frames)
    why_none = because(ReasonCode.NO_OWN_IMAGE)
    return replace(flagged, reason=f"{flagged.reason}; {why_none}", why_no_key_frames=why_none.code)


def render_key_frames(
    answers: Sequence[Answer],
    used: Sequence[tuple[ChosenView, UsedView]],
    form: ClipForm,
    heart: Vector | None,
    read: Callable[[str], bytes],
) -> Pictures:
    """Return the pictures of the answers' key frames; raise DamagedInstance."""
    shown = {frame.image for answer in answers for frame in answer.key_frames}
    fine = form.model_copy(
        update={"height": max(FINE, form.height), "width": max(FINE, form.width)}
    )
    found: dict[SourceImage, NDArray[np.uint8]] = {}
    for chosen, view in used:
        if shown.intersection(view.images):  # the whole view is decoded: its images share a window
            pictures = prepare_view(chosen, fine, heart, read)  # (frames, H, W)
            found |= {
                image: picture
                for image, picture in zip(view.images, pictures, strict=True)
                if image in shown
            }
    return found
