"""Impressions state the truth of drawn hearts, checked by patterns independent of the phrases."""

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from triage.phantom.heart import Enhancement, Heart, Pathology, Scar, derive_truth, draw_heart
from triage.phantom.impression import compose_impression, describe_segments
from triage.phantom.readers import (
    EXTERNAL,
    TRAINING,
    Reader,
    ReaderStyle,
    list_templates,
    load_reader,
)

HEARTS = 500

DENIED = re.compile(
    r"\b(no|not|none|without|absent|absence|normal|normally|preserved|unremarkable|intact|negative"
    r"|WNL|within (normal|reference))\b",
    re.IGNORECASE,
)
LV = r"\b(LV|LVEF|LVEDVi?|left ventric\w+)\b"
RV = r"\b(RV|RVEF|RVEDVi?|right ventric\w+)\b"
LARGE = r"dilat|enlarg|larger|above the reference|(size|volume|EDVi).*increased"
WEAK = r"dysfunction|reduced|impaired|depressed|decreased|diminished|hypokine|failure|\blow\b"
#: A finding is affirmed by a sentence that has all of its patterns and no denial.
AFFIRMED = {
    "lv_dilation": (LV, LARGE),
    "rv_dilation": (RV, LARGE),
    "lv_dysfunction": (LV, WEAK),
    "rv_dysfunction": (RV, WEAK),
    "lv_hypertrophy": (
        r"hypertroph|\bLVH\b|\bASH\b|thicken|thickness.*increased|increased.*thickness",
    ),
    "lge": (r"enhanc|\bLGE\b|\bDE\b|scar|infarct|fibrosis",),
    "aortic_dilation": (r"\b(aort\w+|Ao)\b", r"dilat|enlarg|ectas|ectatic|aneurysm|widen"),
}


def sentences(text: str) -> list[str]:
    return [part for part in re.split(r"\.(?:\s+|$)|\n", text) if re.search("[a-zA-Z]", part)]


def affirmed(text: str) -> set[str]:
    return {
        finding
        for sentence in sentences(text)
        if not DENIED.search(sentence)
        for finding, patterns in AFFIRMED.items()
        if all(re.search(pattern, sentence, re.IGNORECASE) for pattern in patterns)
    }


def hearts() -> Iterator[Heart]:
    for seed in range(HEARTS):
        yield draw_heart(seed)


@pytest.mark.parametrize("style", ReaderStyle)
def test_the_affirmed_findings_are_the_true_ones(style: ReaderStyle) -> None:
    for heart in hearts():
        text = compose_impression(heart, heart.seed, style)
        true = {name for name, holds in derive_truth(heart).findings.items() if holds}
        assert affirmed(text) == true, (heart.seed, text)


def test_the_checker_distinguishes_affirmation_from_denial() -> None:
    assert affirmed("No LGE. LV is not dilated. Normal RV size.") == set()
    assert affirmed("1. Dilated LV.\n2. Scar.") == {"lv_dilation", "lge"}


@pytest.mark.parametrize("style", ReaderStyle)
def test_readers_deny_negative_findings_or_omit_them(style: ReaderStyle) -> None:
    """For hearts without scar, some reports deny it and some do not mention it."""
    mentioned = [
        any(re.search(AFFIRMED["lge"][0], sentence, re.IGNORECASE) for sentence in sentences(text))
        or "contrast uptake" in text
        for heart in hearts()
        if not heart.scars
        for text in [compose_impression(heart, heart.seed, style)]
    ]
    assert 0.15 < np.mean(mentioned) < 0.98


@pytest.mark.parametrize("style", ReaderStyle)
def test_every_reader_has_phrases_for_every_topic(style: ReaderStyle) -> None:
    published = load_reader(ReaderStyle.PUBLISHED)
    assert load_reader(style).phrases.keys() == published.phrases.keys()


def test_external_readers_share_no_phrase_with_the_others() -> None:
    readers = {style: load_reader(style) for style in ReaderStyle}
    by_style = {s: {p for ps in r.phrases.values() for p in ps} for s, r in readers.items()}
    training = set().union(*(by_style[style] for style in TRAINING))
    for style in EXTERNAL:
        assert not by_style[style] & training
        own = {*readers[style].adverbs} - {w for s in TRAINING for w in readers[s].adverbs}
        assert len(own) == 3
    assert len(TRAINING) >= 6
    assert len(EXTERNAL) == 2


def test_there_are_many_phrases() -> None:
    assert len(list_templates()) >= 300


@pytest.mark.parametrize(
    "phrase",
    [
        "Left ventricle is dilated",
        "enlarged in size",
        "Right ventricle is dilated",
        "Left ventricle with systolic dysfunction",
        "Right ventricle with systolic dysfunction",
        "There is septal hypertrophy",
        "There is left ventricular hypertrophy",
        "LV is thickened",
        "Delayed-enhancement imaging reveals transmural enhancement",
        "Delayed-enhancement imaging reveals patchy enhancement",
        "There is a large area of LAD scar",
        "Aortic root is ectatic",
        "Ascending aorta is dilated",
        "Descending aorta is dilated",
    ],
)
def test_published_phrases_are_used(phrase: str) -> None:
    texts = (compose_impression(heart, heart.seed, ReaderStyle.PUBLISHED) for heart in hearts())
    assert any(phrase in text for text in texts)


def test_the_same_seed_gives_the_same_text() -> None:
    heart = draw_heart(4)
    for style in ReaderStyle:
        assert compose_impression(heart, 4, style) == compose_impression(heart, 4, style)
    texts = {compose_impression(heart, seed, ReaderStyle.NUMBERED) for seed in range(30)}
    assert len(texts) > 5


@pytest.mark.parametrize("style", ReaderStyle)
def test_texts_have_no_unfilled_fields_or_double_marks(style: ReaderStyle) -> None:
    for heart in hearts():
        text = compose_impression(heart, heart.seed, style)
        assert text.strip()
        assert not re.search(r"[{}]|  |\.\.|\( ?\)| ,|phantom", text, re.IGNORECASE), text


def test_no_text_names_a_patient() -> None:
    heart = replace(draw_heart(4), seed=8675309)
    for style in ReaderStyle:
        assert "8675309" not in compose_impression(heart, 8675309, style)


def graded(heart: Heart, style: ReaderStyle, words: str) -> str:
    """Return the first sentence with `words` in several impressions."""
    texts = (compose_impression(heart, seed, style) for seed in range(100))
    return next(s for text in texts for s in sentences(text) if words in s)


@pytest.mark.parametrize(
    ("fraction", "grade"), [(0.52, "mildly"), (0.38, "moderately"), (0.2, "severely")]
)
def test_severity_follows_the_numbers(fraction: float, grade: str) -> None:
    heart = replace(draw_heart(1, (Pathology.NORMAL,)), lv_ef=fraction)
    said = graded(heart, ReaderStyle.MEASURED, f"LVEF {100 * fraction:.0f}% (")
    assert said == f"LVEF {100 * fraction:.0f}% ({grade} reduced)"


def test_numbers_are_those_of_the_heart() -> None:
    heart = replace(draw_heart(1, (Pathology.NORMAL,)), ascending_mm=47.3)
    assert (
        graded(heart, ReaderStyle.MEASURED, "47 mm") == "Ascending aorta 47 mm (moderately dilated)"
    )


@pytest.mark.parametrize(
    ("depth", "territory", "words"),
    [
        (0.8, "LAD", "LGE: transmural (80% depth), basal anterior, mid anterior segments"),
        (0.4, "LCX", "LGE: subendocardial (40% depth)"),
    ],
)
def test_scars_are_described_by_depth_and_territory(
    depth: float, territory: str, words: str
) -> None:
    scar = Scar(Enhancement.SUBENDOCARDIAL, (0, 6), depth, territory)
    heart = replace(draw_heart(1, (Pathology.NORMAL,)), scars=(scar,))
    said = graded(heart, ReaderStyle.MEASURED, "% depth")
    assert said.startswith(words.replace("basal anterior, mid anterior", "basal and mid anterior"))
    assert said.endswith(f"{'LCx' if territory == 'LCX' else territory} territory")


def test_diffuse_enhancement_is_called_diffuse() -> None:
    for style in ReaderStyle:
        text = compose_impression(draw_heart(1, (Pathology.AMYLOID,)), 1, style).lower()
        assert re.search("diffuse|spread-out|global hyper", text)


def test_thickening_is_septal_apical_or_concentric_by_the_numbers() -> None:
    words: dict[Pathology, list[str]] = defaultdict(list)
    for pathology in (Pathology.HYPERTROPHIC, Pathology.CONCENTRIC):
        for seed in range(50):
            text = compose_impression(draw_heart(seed, (pathology,)), seed, ReaderStyle.MEASURED)
            words[pathology] += re.findall("(asymmetric|apical|concentric) LVH", text)
    assert words[Pathology.HYPERTROPHIC].count("asymmetric") > 30
    assert words[Pathology.HYPERTROPHIC].count("apical") > 3
    assert set(words[Pathology.CONCENTRIC]) == {"concentric"}


@pytest.mark.parametrize(
    ("segments", "words"),
    [
        ((0, 1), "basal anterior and anteroseptal"),
        ((0, 6), "basal and mid anterior"),
        ((1, 2, 7), "basal anteroseptal and inferoseptal, mid anteroseptal"),
        ((0, 6, 12), "basal, mid and apical anterior"),
        ((13, 15), "apical septal and lateral"),
    ],
)
def test_segments_are_described_by_level_and_wall(segments: tuple[int, ...], words: str) -> None:
    assert describe_segments(segments) == words


@pytest.mark.parametrize(
    ("phrases", "message"),
    [
        ({"lv_size": ("Large",)}, "needs \\+ or - at its end"),
        ({"lv_size+": ()}, "and a phrase"),
        ({"lv_size+": ("Large {size}",)}, "unknown fields: size"),
    ],
)
def test_an_invalid_phrase_is_refused(phrases: dict[str, tuple[str, ...]], message: str) -> None:
    valid = load_reader(ReaderStyle.PUBLISHED).model_dump()
    with pytest.raises(ValueError, match=message):
        Reader.model_validate(valid | {"phrases": phrases})
