"""What a training step reads of an impression."""

import numpy as np
import pytest

from export.captions import COMMON, caption, sentences, vocabulary_of
from triage.phantom.archive import draw_examination
from triage.phantom.heart import draw_heart


@pytest.mark.parametrize(
    ("impression", "said"),
    [
        ("Dilated LV. Normal RV.", ["Dilated LV", "Normal RV"]),
        ("1. Dilated LV.\n2. LVEF 2.5 x normal.", ["Dilated LV", "LVEF 2.5 x normal"]),
        ("- c/w HCM\n- no LVH", ["c/w HCM", "no LVH"]),
        ("LVEF 29%: reduced\nRVEF 57%", ["LVEF 29%: reduced", "RVEF 57%"]),
        ("", []),
    ],
)
def test_an_impression_falls_into_its_sentences(impression: str, said: list[str]) -> None:
    assert sentences(impression) == said


def test_every_phantom_s_impression_falls_into_short_sentences() -> None:
    for seed in range(60):
        found = sentences(draw_examination(draw_heart(seed)).impression)
        assert found
        assert max(map(len, found)) < 260
        assert not any(each.endswith(".") or each[:2] in {"1.", "- "} for each in found)


def test_some_sentences_stand_for_the_whole_as_often_as_asked() -> None:
    rng = np.random.default_rng(0)
    whole = "One is so. Two is so. Three is so. Four is so. Five is so."
    assert caption(whole, 0.0, rng) == whole
    drawn = [caption(whole, 0.6, rng) for _ in range(500)]
    assert np.mean([each == whole for each in drawn]) == pytest.approx(0.4, abs=0.07)
    assert {each.count("is so") for each in drawn} == {1, 2, 3, 5}


def test_an_empty_impression_stays_empty() -> None:
    assert caption("", 1.0, np.random.default_rng(0)) == ""


def test_only_words_of_many_reports_become_pieces() -> None:
    often = ["Zwickau sign is seen"] * COMMON
    seldom = ["Seen by Dr Mustermann"] * (COMMON - 1)
    pieces = vocabulary_of([*often, *seldom], lower_case=True)
    assert "zwickau" in pieces
    assert "mustermann" not in pieces
    assert all(piece == piece.lower() for piece in pieces if not piece.startswith("["))
    assert sorted(pieces.values()) == list(range(len(pieces)))


def test_a_cased_vocabulary_keeps_capitals() -> None:
    assert "Zwickau" in vocabulary_of(["Zwickau"] * COMMON, lower_case=False)
