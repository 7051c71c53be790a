"""Which frames made a score: parts of the clip are taken away, and the score is asked again.

A view is taken away from the whole clip (what does the score lose?) and then left alone (what does
it win over a clip of nothing?); its relevance is the mean of the two, for where two views show the
same, neither loses much by itself. Of a view with several frames, the foremost is the one whose
segment the score misses most. What is away is what training knew as missing: black, or left out.

Rule: one call of the encoder serves all findings of a study. Nothing here knows what a view shows,
so what it points to is the model's own doing, right or wrong.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from triage.model.questions import ScoreFunction
from triage.ports.encoder import Embedding, Embeddings, Encoder, Frames

SEGMENTS = 5  #: of a view, at most: they cost an encoding each, and neighbours look alike
#: A view counts as a maker of the score from this share of the foremost view's relevance on.
LEAST_SHARE = 0.25

#: The view and the image of each frame of a clip; None where a black one stands.
FrameSources = Sequence[tuple[str, int] | None]
FrameIndices = NDArray[np.int64]  #: of frames in the clip
#: How the bundle's training knew a view that is not there (`Preprocessing.missing`).
MissingFrames = Literal["black", "left_out"]


class Occlusions(NamedTuple):
    """What the encoder sees of a clip with parts taken away."""

    whole: Embedding
    nothing: Embedding
    without: Embeddings  #: (views, D)
    alone: Embeddings  #: (views, D)
    segments: Sequence[Embeddings]  #: of each view: without each of its segments, (segments, D)


@dataclass(frozen=True)
class OccludedClip:
    """A clip whose parts were taken away."""

    views: tuple[str, ...]
    segments: tuple[tuple[FrameIndices, ...], ...]  #: of each view; a single one is the view itself
    seen: Occlusions


class RelevantFrame(NamedTuple):
    """A frame that made a score."""

    view: str
    place: int  #: in the clip
    relevance: float  #: of its view; in the score's unit


def occlude(
    clip: Frames, sources: FrameSources, whole: Embedding, encoder: Encoder, missing: MissingFrames
) -> OccludedClip:
    """Take away each view of a clip (F, H, W), embedded as `whole`, and each of its segments."""
    segments = _segments(sources)
    everything = np.arange(len(clip))
    views = [np.concatenate(parts) for parts in segments.values()]
    kept = [
        np.array([], np.int64),
        *(np.setdiff1d(everything, view) for view in views),
        *views,
        *(
            np.setdiff1d(everything, part)
            for parts in segments.values()
            for part in _several(parts)
        ),
    ]
    found = encoder.encode_clips([_left(clip, frames, missing) for frames in kept])
    nothing, without, alone, rest = np.split(found, [1, 1 + len(views), 1 + 2 * len(views)])
    ends = np.cumsum([len(_several(parts)) for parts in segments.values()])[:-1]
    seen = Occlusions(whole, nothing[0], without, alone, np.split(rest, ends))
    return OccludedClip(tuple(segments), tuple(segments.values()), seen)


def view_relevances(occluded: OccludedClip, scores: ScoreFunction) -> dict[str, float]:
    """Return what each view is worth to the score of a finding, in the score's unit."""
    seen = occluded.seen
    lost = scores(seen.whole[None]) - scores(seen.without)  # (views,)
    won = scores(seen.alone) - scores(seen.nothing[None])  # (views,)
    return dict(zip(occluded.views, ((lost + won) / 2).tolist(), strict=True))


def choose_relevant_frames(
    occluded: OccludedClip, scores: ScoreFunction, at_most: int
) -> list[RelevantFrame]:
    """Return the frames that made the score of a finding, the foremost first.

    First one frame of each view that counts; where these are few, further ones of the same views
    that are no neighbours of those chosen.
    """
    worth = view_relevances(occluded, scores)
    foremost = max(worth.values())
    counting = [view for view in occluded.views if worth[view] > max(0, LEAST_SHARE * foremost)]
    spread = {view: list(_spread(occluded, view, scores)) for view in counting}
    ranked = sorted(
        ((rank, view, place) for view in counting for rank, place in enumerate(spread[view])),
        key=lambda each: (each[0], -worth[each[1]]),
    )
    chosen = [RelevantFrame(view, place, worth[view]) for _, view, place in ranked[:at_most]]
    return sorted(chosen, key=lambda each: -each.relevance)


def _spread(occluded: OccludedClip, view: str, scores: ScoreFunction) -> Iterator[int]:
    """Yield the middle frames of a view's segments, the most missed first, no two neighbours."""
    number = occluded.views.index(view)
    segments = occluded.segments[number]
    left = scores(occluded.seen.segments[number]) if len(segments) > 1 else np.zeros(1)
    taken: list[int] = []
    for segment in np.argsort(left, kind="stable"):
        if all(abs(int(segment) - other) > 1 for other in taken):
            taken.append(int(segment))
            yield int(segments[segment][len(segments[segment]) // 2])


def _segments(sources: FrameSources) -> dict[str, tuple[FrameIndices, ...]]:
    """Return the segments of each view; frames of one image stay together."""
    known = [(*source, place) for place, source in enumerate(sources) if source is not None]
    found = {}
    for view, frames in groupby(known, key=lambda each: each[0]):
        images = [[each[2] for each in same] for _, same in groupby(frames, key=lambda e: e[1])]
        parts = np.array_split(np.arange(len(images)), min(SEGMENTS, len(images)))
        found[view] = tuple(np.concatenate([images[i] for i in part]) for part in parts)
    return found


def _several(parts: Sequence[FrameIndices]) -> Sequence[FrameIndices]:
    """The segments to take away one by one; that of a view with one alone is the view."""
    return parts if len(parts) > 1 else ()


def _left(clip: Frames, kept: FrameIndices, missing: MissingFrames) -> Frames:
    """The clip of some frames; of none, where frames are left out, one black frame."""
    black = np.zeros_like(clip)
    if missing == "left_out":
        return clip[kept] if len(kept) else black[:1]
    black[kept] = clip[kept]
    return black
