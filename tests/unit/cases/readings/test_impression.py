"""Where the impression of a report begins and ends."""

import pytest

from triage.cases.readings.impression import LONGEST, impression_of, stated_impression
from triage.phantom.heart import draw_heart
from triage.phantom.impression import ReaderStyle, compose_impression

BEFORE = (
    "EXAM: MRI heart\nHISTORY: chest pain.\nTECHNIQUE: 1.5 T\nFINDINGS:\nLV: dilated.\nLGE: none.\n"
)


@pytest.mark.parametrize(
    "heading",
    [
        "IMPRESSION:",
        "Impression:",
        "Impression",
        "CONCLUSION",
        "CONCLUSIONS:",
        "Conclusion :",
        "**IMPRESSION**",
        "# Impression",
        "SUMMARY:",
        "OPINION:",
        "INTERPRETATION:",
        "BEURTEILUNG:",
        "CONCLUSION :",
        "CONCLUSIÓN:",
        "Impresión:",
        "IMPRESSION =",
        "5. IMPRESSION:",
        "IMPRESSION\n----------",
        "Zusammenfassung:",
    ],
)
@pytest.mark.parametrize(
    "end",
    [
        "",
        "Electronically signed by: X Y",
        "ATTESTATION: I agree",
        "SIGNED: X",
        "RECOMMENDATION: repeat",
        "Dr. Jane Roe",
        "I have personally reviewed the images and agree.",
        "Dictated by: X",
        "ADDENDUM: typo",
        "Reported on 3/4/2024",
    ],
)
def test_headings_begin_it_and_end_it(heading: str, end: str) -> None:
    said = "1. Dilated LV, LVEF 35%.\n2. LGE: transmural, LAD."
    assert impression_of(f"{BEFORE}\n{heading}\n{said}\n\n{end}\nX Y") == said + (
        "" if end else "\nX Y"
    )


@pytest.mark.parametrize(
    "report",
    [
        "FINDINGS: LV dilated. IMPRESSION: Dilated LV. LGE: none. ATTESTATION: I agree.",
        "FINDINGS: dilated. Impression of mass.\rIMPRESSION: Dilated LV. LGE: none.\rSigned by X",
        "IMPRESSION: Dilated LV. LGE: none. Electronically signed by X at 10:15",
        "IMPRESSION - Dilated LV. LGE: none.\nEND OF REPORT",
    ],
)
def test_line_breaks_may_be_lost(report: str) -> None:
    assert impression_of(report) == "Dilated LV. LGE: none."


def test_a_number_may_follow_at_once() -> None:
    assert impression_of("IMPRESSION 1. Dilated LV.\n2. No scar.") == "1. Dilated LV.\n2. No scar."


def test_a_whole_report_is_never_taken_for_an_impression() -> None:
    for report in (
        "Dilated LV, no scar.",
        BEFORE,
        "An impression of normal size.\nNo conclusion.",
        "",
        "IMPRESSION:",
    ):
        assert impression_of(report) is None
    assert impression_of("IMPRESSION:\n" + "word " * LONGEST) is None


def test_weak_headings_count_only_without_a_strong_one() -> None:
    assert impression_of("SUMMARY: of history\nIMPRESSION: Dilated LV.") == "Dilated LV."
    assert impression_of("IMPRESSION: Dilated LV.\nSummary: DCM") == "Dilated LV.\nSummary: DCM"


def test_the_impression_of_an_addendum_counts_too() -> None:
    report = "IMPRESSION: Dilated LV.\nADDENDUM: seen again\nall of it\nIMPRESSION: Small scar."
    assert impression_of(report) == "Dilated LV.\nSmall scar."


@pytest.mark.parametrize("style", list(ReaderStyle))
def test_the_words_of_every_reader_come_out_of_a_report_whole(style: ReaderStyle) -> None:
    for seed in range(100):
        said = compose_impression(draw_heart(seed), seed, style)
        assert impression_of(f"{BEFORE}IMPRESSION:\n{said}\nElectronically signed by: X") == said
        assert stated_impression(said) == said


def test_what_its_source_calls_an_impression_loses_only_its_heading() -> None:
    assert (
        stated_impression("IMPRESSION: Dilated LV.\n\nFindings suggest DCM")
        == "Dilated LV.\nFindings suggest DCM"
    )
    assert stated_impression("Dilated LV.\r\nSummary: DCM") == "Dilated LV.\nSummary: DCM"
    assert stated_impression("  ") is None
