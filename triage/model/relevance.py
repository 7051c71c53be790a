"""The frames that contributed most to a score, by occlusion.

A view is removed from the whole clip (how much does the score lose?) and then kept alone (how much
does it gain over an empty clip?). The relevance of the view is the mean of the two: if two views
show the same, removing either of them changes little. In a view with several frames, the most
relevant frame is the middle of the segment that lowers the score most when removed. Removed frames
look as missing views did in training: black, or left out.

One call of the encoder serves all findings of a study. Only frames of the finding's own views are
chosen: an image that cannot show a finding explains nothing to its reader, even if it moved the
score. If no view of the finding raised the score, no frame is chosen.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from triage.model.questions import ScoreFunction
from triage.ports.encoder import Embedding, Embeddings, Encoder, Frames

SEGMENTS = 5  #: most segments of a view: each costs an encoding, and neighbours are similar
#: A view is shown if it has at least this share of the relevance of the finding's foremost view.
LEAST_SHARE = 0.25

#: The view and the image index of each frame of a clip; None for a black frame.
FrameSources = Sequence[tuple[str, int] | None]
FrameIndices = NDArray[np.int64]  #: indices of frames in the clip
#: How the bundle was trained on missing views (`Preprocessing.missing`).
MissingFrames = Literal["black", "left_out"]


class Occlusions(NamedTuple):
    """The embeddings of a clip with parts removed."""

    whole: Embedding  #: of the unchanged clip
    empty: Embedding  #: of a clip without any view
    without: Embeddings  #: without each view, (views, D)
    alone: Embeddings  #: with each view only, (views, D)
    segments: Sequence[Embeddings]  #: for each view, without each of its segments, (segments, D)


@dataclass(frozen=True)
class OccludedClip:
    """A clip with the embeddings of its occlusions."""

    views: tuple[str, ...]
    segments: tuple[tuple[FrameIndices, ...], ...]  #: of each view; a single one is the whole view
    embeddings: Occlusions


class RelevantFrame(NamedTuple):
    """A frame that contributed to a score."""

    view: str
    place: int  #: index in the clip
    relevance: float  #: of its view, in the score's unit


def occlude(
    clip: Frames, sources: FrameSources, whole: Embedding, encoder: Encoder, missing: MissingFrames
) -> OccludedClip:
    """Encode a clip (F, H, W) without each view, with each view alone, without each segment.

    `whole` is the embedding of the unchanged clip.
    """
    segments = _split_segments(sources)
    everything = np.arange(len(clip))
    views = [np.concatenate(parts) for parts in segments.values()]
    kept = [
        np.array([], np.int64),
        *(np.setdiff1d(everything, view) for view in views),
        *views,
        *(
            np.setdiff1d(everything, part)
            for parts in segments.values()
            for part in _removable(parts)
        ),
    ]
    encoded = encoder.encode_clips([_keep_frames(clip, frames, missing) for frames in kept])
    empty, without, alone, rest = np.split(encoded, [1, 1 + len(views), 1 + 2 * len(views)])
    ends = np.cumsum([len(_removable(parts)) for parts in segments.values()])[:-1]
    embeddings = Occlusions(whole, empty[0], without, alone, np.split(rest, ends))
    return OccludedClip(tuple(segments), tuple(segments.values()), embeddings)


def view_relevances(occluded: OccludedClip, scores: ScoreFunction) -> dict[str, float]:
    """Return the relevance of each view for the score of a finding, in the score's unit."""
    embeddings = occluded.embeddings
    lost = scores(embeddings.whole[None]) - scores(embeddings.without)  # (views,)
    gained = scores(embeddings.alone) - scores(embeddings.empty[None])  # (views,)
    return dict(zip(occluded.views, ((lost + gained) / 2).tolist(), strict=True))


def choose_relevant_frames(
    occluded: OccludedClip, scores: ScoreFunction, own: Collection[str], at_most: int
) -> list[RelevantFrame]:
    """Return the most relevant frames of the views `own` for a score, most relevant first.

    `own` are the views that show the finding. One frame of each relevant view comes first; if these
    are few, further frames of the same views follow that are not neighbours of the chosen ones.
    """
    by_view = view_relevances(occluded, scores)
    relevance = {view: by_view[view] for view in occluded.views if view in own}
    least = max(0, LEAST_SHARE * max(relevance.values(), default=0))
    views = [view for view in relevance if relevance[view] > least]
    frames = {view: list(_rank_frames(occluded, view, scores)) for view in views}
    ranked = sorted(
        ((rank, view, place) for view in views for rank, place in enumerate(frames[view])),
        key=lambda entry: (entry[0], -relevance[entry[1]]),
    )
    chosen = [RelevantFrame(view, place, relevance[view]) for _, view, place in ranked[:at_most]]
    return sorted(chosen, key=lambda frame: -frame.relevance)


def _rank_frames(occluded: OccludedClip, view: str, scores: ScoreFunction) -> Iterator[int]:
    """Yield the middle frames of a view's segments by relevance, without neighbours."""
    number = occluded.views.index(view)
    segments = occluded.segments[number]
    remaining = scores(occluded.embeddings.segments[number]) if len(segments) > 1 else np.zeros(1)
    taken: list[int] = []
    for segment in np.argsort(remaining, kind="stable"):
        if all(abs(int(segment) - other) > 1 for other in taken):
            taken.append(int(segment))
            yield int(segments[segment][len(segments[segment]) // 2])


def _split_segments(sources: FrameSources) -> dict[str, tuple[FrameIndices, ...]]:
    """Return the segments of each view; frames of one image stay together."""
    known = [(*source, place) for place, source in enumerate(sources) if source is not None]
    segments = {}
    for view, frames in groupby(known, key=lambda frame: frame[0]):
        images = [[f[2] for f in same] for _, same in groupby(frames, key=lambda f: f[1])]
        parts = np.array_split(np.arange(len(images)), min(SEGMENTS, len(images)))
        segments[view] = tuple(np.concatenate([images[i] for i in part]) for part in parts)
    return segments


def _removable(parts: Sequence[FrameIndices]) -> Sequence[FrameIndices]:
    """Return the segments to remove one by one; none if the view has a single segment."""
    return parts if len(parts) > 1 else ()


def _keep_frames(clip: Frames, kept: FrameIndices, missing: MissingFrames) -> Frames:
    """Return the clip with some frames only; one black frame if none are left."""
    black = np.zeros_like(clip)
    if missing == "left_out":
        return clip[kept] if len(kept) else black[:1]
    black[kept] = clip[kept]
    return black
