"""The reader of outcomes: sentences, own words, long and hostile texts."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.findings.extraction.marked_sentences import marked_sentences, read_outcomes
from triage.domain.outcome import OutcomeStatus
from triage.findings.extraction import READ, OutcomeReader, phrases, sentences
from triage.findings.extraction.measurements import LIMITS
from triage.findings.extraction.phrases import load_lexicon, split_words
from triage.imaging.backtracking import find_slow_text
from triage.phantom.heart import (
    ASCENDING_MAX_MM,
    DESCENDING_MAX_MM,
    LV_EDVI_MAX,
    LV_EF_MIN,
    ROOT_MAX_MM,
    RV_EDVI_MAX,
    RV_EF_MIN,
    WALL_MAX_MM,
)

PRESENT, ABSENT, UNCERTAIN = OutcomeStatus.PRESENT, OutcomeStatus.ABSENT, OutcomeStatus.UNCERTAIN
WORDS = sorted({word for name in ("developed", "held_out") for s, _ in marked_sentences(name)
                for word in s.split()})  # fmt: skip


def test_each_outcome_has_the_sentence_that_states_it() -> None:
    text = "1. Dilated left ventricle, LVEF 35%.\n2. No late gadolinium enhancement."
    outcomes = {outcome.finding_id: outcome for outcome in OutcomeReader().read(text)}
    assert outcomes["lv_dilation"].sentence == "Dilated left ventricle, LVEF 35%."
    assert outcomes["lge"].sentence == "No late gadolinium enhancement."
    assert outcomes["aortic_dilation"].status is OutcomeStatus.NOT_MENTIONED
    assert outcomes["aortic_dilation"].sentence == ""
    assert tuple(outcomes) == READ


def test_a_contradiction_between_number_and_judgement_is_uncertain_with_both_sentences() -> None:
    (outcome,) = (
        each
        for each in OutcomeReader().read("LVEF 38%. Normal left ventricular systolic function.")
        if each.finding_id == "lv_dysfunction"
    )
    assert outcome.status is UNCERTAIN
    assert outcome.sentence == "Normal left ventricular systolic function. LVEF 38%."


def test_a_wrapped_line_is_one_sentence() -> None:
    text = (
        "There is no evidence of left ventricular dilatation, hypertrophy or\nlate enhancement.\n"
        "Small effusion"
    )
    assert read_outcomes(text) == {
        "lv_dilation": ABSENT,
        "lv_hypertrophy": ABSENT,
        "lge": ABSENT,
        "pericardial_effusion": PRESENT,
    }


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("Apical thrombus of 12 mm.", PRESENT),
        ("No LGE, no intracardiac thrombus.", ABSENT),
        ("A small clot cannot be excluded.", UNCERTAIN),
        ("Normal wall motion.", OutcomeStatus.NOT_MENTIONED),
    ],
)
def test_a_site_can_state_the_words_of_its_own_findings(text: str, status: OutcomeStatus) -> None:
    reader = OutcomeReader(
        {"thrombus": ["thrombus", "intracardiac thrombus", "apical thrombus", "clot"]}
    )
    assert {o.finding_id: o.status for o in reader.read(text)}["thrombus"] is status


def test_limits_are_those_of_the_drawn_hearts_where_sources_agree() -> None:
    assert LIMITS["function", "lv"].normal == pytest.approx(100 * LV_EF_MIN)
    assert LIMITS["function", "rv"].normal == pytest.approx(100 * RV_EF_MIN)
    for side, most in (("lv", LV_EDVI_MAX), ("rv", RV_EDVI_MAX)):
        assert (LIMITS["size", side].normal, LIMITS["size", side].abnormal) == (
            min(most.values()),
            max(most.values()),
        )
    assert LIMITS["thickness", "lv"].normal == WALL_MAX_MM
    assert LIMITS["size", "root"].normal == ROOT_MAX_MM
    assert LIMITS["size", "ascending"].normal == ASCENDING_MAX_MM
    assert LIMITS["size", "descending"].normal == DESCENDING_MAX_MM


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from([*WORDS, "\n", ".", ";", "(", ")", ":", "?", "-"]), max_size=40))
def test_any_order_of_words_is_read(words: list[str]) -> None:
    for outcome in OutcomeReader().read(" ".join(words)):
        assert (outcome.status is OutcomeStatus.NOT_MENTIONED) == (not outcome.sentence)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=400))
def test_any_text_is_read(text: str) -> None:
    assert len(OutcomeReader().read(text)) == len(READ)


@pytest.mark.parametrize(
    "unit",
    [
        "no ",
        "no LGE, ",
        "(",
        "LV is dilated and ",
        "a",
        "1 ",
        "ventriculer ",
        "? ",
        "\n",
        "lv " * 9,
    ],
)
def test_time_grows_linearly_with_the_text(unit: str) -> None:
    reader = OutcomeReader()
    short, long = (unit * (size // len(unit)) for size in (5_000, 20_000))
    reader.read(short)
    took = [_seconds(reader, text) for text in (short, long)]
    print(unit, took)
    assert took[1] < 10 * took[0] + 0.2
    assert _seconds(reader, unit * 1_000_000) < 4 * took[1] + 0.5  # the rest is not read


def _seconds(reader: OutcomeReader, text: str) -> float:
    started = time.thread_time()
    reader.read(text)
    return time.thread_time() - started


def test_no_pattern_of_the_rules_is_slow() -> None:
    patterns = [
        phrases.TOKEN,
        phrases._JOINED,
        sentences._ITEM,
        sentences._STOP,
    ]
    assert [p.pattern for p in patterns if find_slow_text(p, sentences.TEXT_MAX)] == []


def test_words_are_folded_and_corrected() -> None:
    lexicon = load_lexicon()
    assert lexicon.words >= {"ventricle", "enhancement"}
    for misspelt, word in (("hypertrohpy", "hypertrophy"), ("effussion", "effusion"),
                           ("gadolinum", "gadolinium"), ("enhanced", "enhanced")):  # fmt: skip
        assert lexicon.correct(misspelt) == word
    text = "LVEF: 32,5 % \u2013 \u201créduite\u201d"
    assert split_words(text) == [
        "lvef",
        ":",
        "32,5",
        "%",
        "-",
        "reduite",
    ]
