"""The report page: its texts, fonts, pictures and colours."""

import re
from collections.abc import Callable
from dataclasses import replace
from itertools import cycle

import numpy as np
import pypdfium2
import pytest
from numpy.typing import NDArray

from tests.builders.assessments import mixed
from tests.builders.calibrations import WEEKLY
from tests.builders.reportings import (
    KINDS,
    OTHERS,
    all_flagged,
    forty,
    none_flagged,
    reporting,
    with_similar,
)
from triage.cases.past_cases import TOO_FEW
from triage.domain.assessment import (
    Assessment,
    Disclosure,
    Familiarity,
    Flag,
    MissingView,
    Presence,
)
from triage.domain.performance import Performance, Rate
from triage.domain.reasons import ReasonCode, because
from triage.pipeline.key_frames import illustrate
from triage.reports import fonts as letters
from triage.reports import page, page_findings, secondary_capture, sheet
from triage.reports.reporting import Reporting


def texts(reporting: Reporting) -> list[str]:
    document = pypdfium2.PdfDocument(page.render(reporting))
    return [sheet.get_textpage().get_text_bounded().replace("\r\n", "\n") for sheet in document]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "forty_findings"])
def test_it_is_one_sheet(kind: str) -> None:
    (text,) = texts(KINDS[kind]())
    assert text.startswith("RESEARCH USE ONLY")


@pytest.mark.parametrize("flag", [None, *Flag])
def test_forty_findings_leave_every_flag_on_the_first_sheet(flag: Flag | None) -> None:
    assessment = measured(forty(flag), MEASURED)
    first, *others = texts(reporting(assessment))
    flagged = [a.finding.name for a in assessment.answers if a.flag is Flag.YES]
    assert first.count("FLAGGED") == len(flagged)
    assert all(f"\n{name} " in first for name in flagged)
    assert len(others) <= 2
    whole = "\n".join((first, *others)).replace("\n", " ")
    assert all(answer.finding.name in whole for answer in assessment.answers)


def test_flags_come_first() -> None:
    (text,) = texts(KINDS["similar_cases"]())
    parts = [
        "1 of 4 findings flagged",
        "Read sooner",
        "\nFlagged",
        "Key frames",
        "Draft impression",
    ]
    parts += [
        "\nNot flagged",
        "\nNot evaluated",
        "Views used",
        "Similar cases",
        "Model CMR-CLIP 1.0.0",
    ]
    places = [text.index(part) for part in parts]
    assert places == sorted(places)


def test_not_flagged_absent_and_not_evaluated_differ() -> None:
    (text,) = texts(reporting(mixed()))
    assert "Left ventricular dilation 0.05 | 0.27 absent" in text
    assert "Large pericardial effusion 0.25 | 0.30\n" in text
    silent = text[text.index("\nNot evaluated no result") :]
    assert "Late gadolinium enhancement\nReason: the study shows none" in silent


@pytest.mark.parametrize("kind", KINDS)
def test_not_ruled_out_is_said_once_for_all_findings(kind: str) -> None:
    said = KINDS[kind]()
    left = [
        answer
        for answer in said.assessment.answers
        if answer.flag is Flag.NO and answer.presence is not Presence.ABSENT
    ]
    text = "\n".join(texts(said)).replace("\n", " ")
    assert text.count("not ruled out") == bool(left)


def test_a_near_miss_is_marked_in_its_row_the_verdict_and_the_draft() -> None:
    base = none_flagged()
    first, *others = base.answers
    near = replace(first, score=0.276, threshold=0.28, spread=0.1)
    (text,) = texts(reporting(replace(base, answers=(near, *others))))
    assert f"{near.finding.name} 0.276 | 0.280 just below its threshold" in text
    assert "1 of 4 findings not evaluated, 1 just below its threshold." in text
    assert "(score 0.276, threshold 0.280, just below its threshold)" in text.replace("\n", " ")
    (far,) = texts(reporting(base))
    assert "just below" not in far


def test_of_many_near_misses_each_is_marked_beside_its_whole_name() -> None:
    base = forty(Flag.NO)
    near = tuple(replace(answer, score=0.299, spread=0.1) for answer in base.answers)
    whole = "\n".join(texts(reporting(replace(base, answers=near))))
    for answer in near:
        assert f"\n{answer.finding.name} 0.299 | 0.300 just below its threshold\n" in whole


RATES = Rate(0.965, 0.951, 0.977), Rate(0.911, 0.864, 0.943), Rate(0.889, 0.848, 0.92)
MEASURED = Performance(*RATES, 500, 202, "500 synthetic hearts")
FIGURES = (
    "AUC 0.96 (0.95 to 0.98) · sensitivity 0.91 (0.86 to 0.94) · specificity 0.89 (0.85 to 0.92)"
    " · 202 of 500 studies had it"
)


def measured(assessment: Assessment, *performances: Performance | None) -> Assessment:
    """The assessment with these performances in turn."""
    answers = zip(assessment.answers, cycle(performances), strict=False)
    return replace(assessment, answers=tuple(replace(a, performance=p) for a, p in answers))


def test_each_flag_has_the_figures_of_its_threshold_and_where_they_were_measured() -> None:
    (text,) = texts(reporting(measured(all_flagged(), MEASURED)))
    assert text.count(FIGURES) == 4
    assert text.count("measured on 500 synthetic hearts") == 1


def test_with_a_flag_the_other_findings_have_no_figures() -> None:
    (text,) = texts(reporting(measured(mixed(), MEASURED)))
    assert text.count(FIGURES) == 1


def test_without_a_flag_the_figures_of_all_evaluated_findings_are_shown() -> None:
    (text,) = texts(reporting(measured(none_flagged(), MEASURED)))
    assert text.count(FIGURES) == 3


def test_figures_of_several_sources_name_their_findings_and_missing_ones_are_named() -> None:
    other = replace(MEASURED, measured_on="90 studies of 2025")
    (text,) = texts(reporting(measured(all_flagged(), MEASURED, other, None, MEASURED)))
    one, two, three, four = (answer.finding.name for answer in all_flagged().answers)
    flat = text.replace("\n", " ")
    assert f"Figures of {one}; {four} at the threshold" in flat
    assert f"Figures of {two} at the threshold" in flat
    assert f"{page_findings.NOT_MEASURED} of {three}" in flat


def test_a_bundle_without_measured_figures_says_so_once() -> None:
    (text,) = texts(reporting(all_flagged()))
    assert text.count(page_findings.NOT_MEASURED) == 1


def test_the_intended_use_stands_above_the_verdict() -> None:
    said = all_flagged()
    (text,) = texts(reporting(said))
    use = f"Intended use of the model: {said.model.intended_use}"
    assert text.count(said.model.intended_use) == 1
    assert text.index(use) < text.index("4 of 4 findings flagged")


def test_seven_flags_with_figures_missing_views_and_similar_cases_are_one_sheet() -> None:
    (text,) = texts(reporting(seven_flagged()))
    assert text.count("FLAGGED") == text.count("· sensitivity") == 7
    assert "Views missing" in text
    assert "Similar cases" in text
    assert "Model CMR-CLIP" in text


def seven_flagged() -> Assessment:
    """The most that stays on one sheet, with names and reasons of usual length."""
    many, base = forty(Flag.YES), with_similar()
    name = "Right ventricular systolic dysfunction"
    answers = tuple(
        replace(a, finding=replace(a.finding, name=name), performance=MEASURED)
        for a in many.answers[:7]
    )
    reason = "no two-chamber view among 2 delayed enhancement stacks"
    late = [MissingView(view, reason) for view in ("lge_lax", "lge_2ch", "lge_3ch")]
    use = (
        "Synthetic images only, not for clinical use. Research use only; not a medical device. " * 2
    )
    return replace(
        base,
        answers=answers,
        missing=tuple(late),
        model=replace(base.model, intended_use=use),
        familiarity=Familiarity(0.94, 2.09, "cine_sa"),
    )


def test_a_study_without_flags_is_not_called_normal() -> None:
    (text,) = texts(KINDS["none_flagged"]())
    assert "Not flagged does not mean absent" in text
    assert "Order unchanged" in text
    assert "FLAGGED" not in text


def test_a_study_without_evaluated_findings_states_this_first() -> None:
    (text,) = texts(KINDS["not_evaluated"]())
    assert text.index("\nNot evaluated\n3 of 3 findings not evaluated") < text.index("Draft")
    assert "UNTRAINED" in text


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("japanese_name", "Yamada, Tarou (山田 太郎)"),
        ("cyrillic_name", "Достоевская, Александра"),
        ("awkward_name", "O'Brien|&~, <Zoë> […]"),
        ("bare", "name missing"),
    ],
)
def test_a_name_is_printed_in_its_script_or_the_gap_is_explained(kind: str, name: str) -> None:
    (text,) = texts(KINDS[kind]())
    assert text.splitlines()[1] == name
    assert ("characters that this page cannot print" in text) is ("[…]" in name)


def test_a_long_name_stays_within_its_column() -> None:
    images = KINDS["usual"]().evidence
    for image in images:
        image.PatientName = "Wolfeschlegelsteinhausenbergerdorff^Hubert Blaine" + " Adolph" * 9
    (text,) = texts(reporting(mixed(), images))
    assert text.splitlines()[1].endswith("…")
    assert "MRI heart" in text


def test_bars_share_an_axis_that_contains_every_number() -> None:
    scored = [
        replace(a, score=s, threshold=t)
        for a, s, t in zip(
            mixed().answers, (-0.2, 0.3, None, float("nan")), (0.1, 0.4, None, 0.2), strict=True
        )
    ]
    scale = page_findings.axis(scored)
    places = [scale.at(value) for value in (-0.2, 0.0, 0.1, 0.3, 0.4)]
    assert places == sorted(places)
    assert places[0] > 0
    assert places[-1] < 1
    assert page_findings.axis(()).at(0) == 0


def coloured(picture: NDArray[np.uint8], colour: str) -> int:
    wanted = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    return int((picture == wanted).all(axis=2).sum())


@pytest.mark.parametrize(
    ("flag", "alarming"), [(Flag.YES, True), (Flag.NO, False), (Flag.NOT_EVALUATED, False)]
)
def test_only_flags_are_red(flag: Flag, alarming: bool) -> None:  # noqa: FBT001 - a column
    drawn = secondary_capture.render_sheets(page.render(reporting(forty(flag))))
    assert (coloured(drawn[0], sheet.RED) > 0) is alarming


def test_each_picture_is_drawn_once_with_its_series_and_image_number() -> None:
    assessment = all_flagged()
    (text,) = texts(reporting(assessment))
    assert text.count("\nseries 1, image 4") == 1
    caption = "\nLeft ventricular systolic\ndysfunction\n"
    assert text.count(caption) == 4
    (bare,) = texts(replace(reporting(assessment), pictures={}))
    assert "Key frames" not in bare


def test_a_flag_without_an_own_image_says_so_with_and_without_pictures() -> None:
    base = all_flagged()
    first, *others = base.answers
    bare = illustrate(replace(first, key_frames=()), ())
    line = f"{first.finding.name}: {because(ReasonCode.NO_OWN_IMAGE)}."
    (beside,) = texts(reporting(replace(base, answers=(bare, *others))))
    (alone,) = texts(reporting(replace(base, answers=(bare,))))
    for text in (beside, alone):
        assert line in text
        assert text.count("\nKey frames") == 1
    assert line not in texts(reporting(base))[0]


def test_captions_have_full_names_or_the_number_of_remaining_findings() -> None:
    """A cut name is ambiguous: "Left ventricular s…" and "Left ventricular d…"."""
    base = forty(Flag.YES)
    (name,) = {key.view for key in base.answers[0].key_frames if "lax" in key.view}
    answers = tuple(
        replace(a, key_frames=tuple(replace(k, view="lge_sa") for k in a.key_frames))
        for a in base.answers
    )
    text = "\n".join(texts(reporting(replace(base, answers=answers))))
    captions = text[text.index("Key frames") : text.index("Draft impression")]
    assert "…" not in captions
    assert "Late enhancement short\naxis\n" in captions
    assert re.search(r"and 3\d other findings", captions)
    assert name not in captions


def test_a_case_of_another_patient_shows_its_key_and_no_uid() -> None:
    (text,) = texts(reporting(with_similar()))
    assert f"2. 0.87 another patient, key {OTHERS[0]}" in text
    assert ".999.31" not in text
    (text,) = texts(reporting(with_similar(uids=True), similar_cases=Disclosure.UIDS))
    assert ".999.31" in text


@pytest.mark.parametrize("make", [mixed, all_flagged, with_similar])
def test_other_content_is_another_page(make: Callable[[], Assessment]) -> None:
    assert page.render(reporting(make())) == page.render(reporting(make()))
    other = replace(make(), revision=2)
    assert page.render(reporting(make())) != page.render(reporting(other))


def test_a_character_without_font_is_never_drawn() -> None:
    text = letters.printable("Ab山 محمد ไทย")
    assert text == "Ab山 […] […]"
    drawn = "".join(piece for _, piece in letters.font_runs(text))
    assert drawn == text


def test_wrapped_lines_fit_and_lose_nothing() -> None:
    text = "one two " * 20 + "山田" * 40
    broken = letters.wrap_lines(text, 9, 100)
    assert all(letters.text_width(line, 9) <= 100 for line in broken)
    assert "".join(broken).replace(" ", "") == text.replace(" ", "")


def test_the_reason_for_no_similar_case_fits_below_the_missing_views() -> None:
    assessment = replace(all_flagged(), why_none_similar=TOO_FEW)
    assert len(texts(reporting(assessment))) == len(texts(reporting(all_flagged())))
    (text,) = texts(reporting(assessment))
    assert text.index("Views missing") < text.index("Similar cases")
    assert "too few past cases" in text


def test_a_threshold_by_a_budget_says_that_its_accuracy_is_unknown() -> None:
    assessment = all_flagged()
    answers = tuple(replace(answer, target=WEEKLY) for answer in assessment.answers)
    (text,) = texts(reporting(replace(assessment, answers=answers)))
    flat = " ".join(text.split())
    assert "Threshold set by a budget of 5/week, accuracy unknown" in flat
    assert page_findings.NOT_MEASURED not in flat
