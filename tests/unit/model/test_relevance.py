"""Relevance of a model that sees one thing: how much light there is in certain frames."""

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


class BrightnessEncoder:
    """Scores the brightest pixel of any frame, or the sum over frames; a black clip scores 0."""

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
    eye: BrightnessEncoder | None = None,
    missing: MissingFrames = "black",
) -> OccludedClip:
    clip = np.array(light, np.uint8)[:, None, None] * np.ones((1, 2, 2), np.uint8)
    eye = eye or BrightnessEncoder()
    return occlude(clip, sources, eye.encode_clip(clip), eye, missing)


@pytest.mark.parametrize("missing", ["black", "left_out"])
def test_a_view_is_worth_what_the_score_has_of_it(missing: MissingFrames) -> None:
    worth = view_relevances(occluded(LAX + SA, [10] * 6 + [30] * 6, missing=missing), PROMPTS)
    assert worth == pytest.approx({"cine_lax": 60 / 4000, "cine_sa": 180 / 4000}, abs=1e-6)


def test_two_views_that_show_the_same_are_both_worth_something() -> None:
    """Taken away one by one, neither would be missed: the other one still shows it."""
    light = [0, 0, 200, 0, 0, 0] * 2 + [20, 20]
    worth = view_relevances(
        occluded(LAX + SA + LGE, light, BrightnessEncoder(brightest=True)), PROMPTS
    )
    assert worth["cine_lax"] == worth["cine_sa"] == pytest.approx(0.15)
    assert worth["lge_sa"] < 0.02


def test_everything_is_asked_of_the_encoder_at_once() -> None:
    eye = BrightnessEncoder()
    occluded([*LAX, *SA, *LGE, *BLACK], [9] * 14 + [0, 0], eye)
    assert [len(call) for call in eye.calls] == [1 + 2 * 3 + 5 + 5]
    assert {*eye.calls[0]} == {16}  # what is away is black


def test_a_view_that_training_knew_as_left_out_is_left_out() -> None:
    eye = BrightnessEncoder()
    occluded(LAX + LGE, [9] * 8, eye, "left_out")
    assert eye.calls[0] == [1, 2, 6, 6, 2, 6, 7, 7, 7, 7]


def test_the_foremost_frame_is_the_one_that_the_score_misses_most() -> None:
    found = choose_relevant_frames(occluded(SA[:5] + LGE, [9, 9, 9, 90, 9, 30, 30]), PROMPTS, 3)
    assert [(each.view, each.place) for each in found] == [
        ("cine_sa", 3),
        ("cine_sa", 0),  # the next of this view is no neighbour of the first
        ("lge_sa", 6),
    ]
    assert found[0].relevance == pytest.approx(126 / 4000)


def test_views_come_before_a_second_frame_of_the_foremost() -> None:
    found = choose_relevant_frames(occluded(LAX + SA, [20] * 6 + [30] * 6), PROMPTS, 2)
    assert [each.view for each in found] == ["cine_sa", "cine_lax"]


def test_a_view_that_counts_little_is_not_shown() -> None:
    found = choose_relevant_frames(occluded(LAX + SA, [4] * 6 + [30] * 6), PROMPTS, 9)
    assert {each.view for each in found} == {"cine_sa"}
    places = [each.place for each in found]
    assert len(places) == 3
    assert all(abs(one - other) > 1 for one in places for other in places if one is not other)


def test_where_no_view_is_worth_anything_no_frame_made_the_score() -> None:
    assert choose_relevant_frames(occluded(LAX, [0] * 6), PROMPTS, 3) == []


def test_one_view_alone_is_the_whole_clip() -> None:
    (found,) = choose_relevant_frames(occluded(LGE, [50, 50]), PROMPTS, 3)
    assert found.relevance == pytest.approx(100 / 4000)


@given(st.lists(st.integers(0, 255), min_size=14, max_size=14), st.integers(1, 5))
def test_what_is_named_is_in_the_clip_foremost_first_and_no_more_than_asked_for(
    light: list[int], at_most: int
) -> None:
    sources = LAX + SA + LGE
    found = choose_relevant_frames(occluded(sources, light), PROMPTS, at_most)
    assert len(found) <= at_most
    assert [each.relevance for each in found] == sorted((e.relevance for e in found), reverse=True)
    assert len({each.place for each in found}) == len(found)
    for each in found:
        assert each.relevance > 0
        assert sources[each.place][0] == each.view
