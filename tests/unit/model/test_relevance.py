"""Relevance for a model that responds to the brightness of frames only."""

from collections.abc import Sequence
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from triage.model.prompts import mean_cosines
from triage.model.relevance import (
    MissingFrames,
    OccludedClip,
    choose_relevant_frames,
    occlude,
    view_relevances,
)
from triage.ports.encoder import Embedding, Embeddings, Frames

PROMPTS = partial(mean_cosines, np.array([[1, 0]], np.float32))
LAX = [("cine_lax", image) for image in range(6)]
SA = [("cine_sa", image) for image in range(6)]
LGE = [("lge_sa", 0)] * 2
BLACK: list[tuple[str, int] | None] = [None] * 2
ALL = ("cine_lax", "cine_sa", "lge_sa")


class BrightnessEncoder:
    """Scores the brightest pixel of a clip, or the sum over its frames; a black clip scores 0."""

    execution_provider = "CPUExecutionProvider"

    def __init__(self, *, brightest: bool = False) -> None:
        self.brightest = brightest
        self.calls: list[list[int]] = []

    def encode_clip(self, frames: Frames) -> Embedding:
        light = frames.max() * 6.0 if self.brightest else frames.max((1, 2)).sum()
        score = float(light) / 4000
        return np.array([score, np.sqrt(1 - score**2)], np.float32)

    def encode_clips(self, clips: Sequence[Frames]) -> Embeddings:
        self.calls.append([len(clip) for clip in clips])
        return np.stack([self.encode_clip(clip) for clip in clips])

    def encode_text(self, text: str) -> Embedding:
        raise NotImplementedError(text)


def occluded(
    sources: Sequence[tuple[str, int] | None],
    light: Sequence[int],
    encoder: BrightnessEncoder | None = None,
    missing: MissingFrames = "black",
) -> OccludedClip:
    clip = np.array(light, np.uint8)[:, None, None] * np.ones((1, 2, 2), np.uint8)
    encoder = encoder or BrightnessEncoder()
    return occlude(clip, sources, encoder.encode_clip(clip), encoder, missing)


@pytest.mark.parametrize("missing", ["black", "left_out"])
def test_the_relevance_of_a_view_is_its_part_of_the_score(missing: MissingFrames) -> None:
    relevance = view_relevances(occluded(LAX + SA, [10] * 6 + [30] * 6, missing=missing), PROMPTS)
    assert relevance == pytest.approx({"cine_lax": 60 / 4000, "cine_sa": 180 / 4000}, abs=1e-6)


def test_two_views_that_show_the_same_are_both_relevant() -> None:
    """Removing either view changes nothing, because the other one still shows it."""
    light = [0, 0, 200, 0, 0, 0] * 2 + [20, 20]
    relevance = view_relevances(
        occluded(LAX + SA + LGE, light, BrightnessEncoder(brightest=True)), PROMPTS
    )
    assert relevance["cine_lax"] == relevance["cine_sa"] == pytest.approx(0.15)
    assert relevance["lge_sa"] < 0.02


def test_the_encoder_is_called_once() -> None:
    encoder = BrightnessEncoder()
    occluded([*LAX, *SA, *LGE, *BLACK], [9] * 14 + [0, 0], encoder)
    assert [len(call) for call in encoder.calls] == [1 + 2 * 3 + 5 + 5]
    assert {*encoder.calls[0]} == {16}  # removed frames are black


def test_a_removed_view_is_left_out_if_training_left_it_out() -> None:
    encoder = BrightnessEncoder()
    occluded(LAX + LGE, [9] * 8, encoder, "left_out")
    assert encoder.calls[0] == [1, 2, 6, 6, 2, 6, 7, 7, 7, 7]


def test_the_most_relevant_frame_comes_first() -> None:
    found = choose_relevant_frames(
        occluded(SA[:5] + LGE, [9, 9, 9, 90, 9, 30, 30]), PROMPTS, ALL, 3
    )
    assert [(frame.view, frame.place) for frame in found] == [
        ("cine_sa", 3),
        ("cine_sa", 0),  # the second frame of a view is not a neighbour of the first
        ("lge_sa", 6),
    ]
    assert found[0].relevance == pytest.approx(126 / 4000)


def test_every_view_comes_before_a_second_frame_of_one() -> None:
    found = choose_relevant_frames(occluded(LAX + SA, [20] * 6 + [30] * 6), PROMPTS, ALL, 2)
    assert [frame.view for frame in found] == ["cine_sa", "cine_lax"]


def test_a_view_with_little_relevance_is_not_shown() -> None:
    found = choose_relevant_frames(occluded(LAX + SA, [4] * 6 + [30] * 6), PROMPTS, ALL, 9)
    assert {frame.view for frame in found} == {"cine_sa"}
    places = [frame.place for frame in found]
    assert len(places) == 3
    assert all(abs(one - other) > 1 for one in places for other in places if one is not other)


def test_only_views_of_the_finding_are_shown() -> None:
    """An image of late enhancement cannot show a dilated ventricle, whatever it did to a score."""
    whole = occluded(LAX + SA + LGE, [4] * 6 + [3] * 6 + [200] * 2)
    found = choose_relevant_frames(whole, PROMPTS, ("cine_lax", "cine_sa"), 4)
    assert [frame.view for frame in found] == ["cine_lax", "cine_lax", "cine_sa", "cine_sa"]


def test_a_view_is_compared_with_the_foremost_view_of_the_finding_alone() -> None:
    whole = occluded(LAX + SA + LGE, [30] * 6 + [4] * 6 + [200] * 2)
    found = choose_relevant_frames(whole, PROMPTS, ("cine_lax", "cine_sa"), 9)
    assert {frame.view for frame in found} == {"cine_lax"}


@pytest.mark.parametrize("own", [("cine_sa",), ("lge_2ch",), ()])
def test_without_a_relevant_view_of_the_finding_there_are_no_frames(own: tuple[str, ...]) -> None:
    whole = occluded(LAX + SA, [30] * 6 + [0] * 6)
    assert choose_relevant_frames(whole, PROMPTS, own, 3) == []


def test_without_relevant_views_there_are_no_frames() -> None:
    assert choose_relevant_frames(occluded(LAX, [0] * 6), PROMPTS, ALL, 3) == []


def test_a_single_view_is_the_whole_clip() -> None:
    (found,) = choose_relevant_frames(occluded(LGE, [50, 50]), PROMPTS, ALL, 3)
    assert found.relevance == pytest.approx(100 / 4000)


@given(
    st.lists(st.integers(0, 255), min_size=14, max_size=14),
    st.sets(st.sampled_from(ALL)),
    st.integers(1, 5),
)
def test_relevant_frames_are_own_valid_sorted_and_limited(
    light: list[int], own: set[str], at_most: int
) -> None:
    sources = LAX + SA + LGE
    found = choose_relevant_frames(occluded(sources, light), PROMPTS, own, at_most)
    assert {frame.view for frame in found} <= own
    assert len(found) <= at_most
    assert [frame.relevance for frame in found] == sorted(
        (frame.relevance for frame in found), reverse=True
    )
    assert len({frame.place for frame in found}) == len(found)
    for frame in found:
        assert frame.relevance > 0
        assert sources[frame.place][0] == frame.view
