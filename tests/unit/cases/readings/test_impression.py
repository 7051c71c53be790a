"""Beginning and end of the impression in a report."""

import pytest

from triage.cases.readings.impression import LONGEST, impression_of, stated_impression
from triage.phantom.heart import draw_heart
from triage.phantom.impression import compose_impression
from triage.phantom.readers import ReaderStyle

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
def test_headings_begin_and_end_the_impression(heading: str, end: str) -> None:
    impression = "1. Dilated LV, LVEF 35%.\n2. LGE: transmural, LAD."
    assert impression_of(f"{BEFORE}\n{heading}\n{impression}\n\n{end}\nX Y") == impression + (
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
def test_headings_are_found_without_line_breaks(report: str) -> None:
    assert impression_of(report) == "Dilated LV. LGE: none."


def test_a_heading_may_be_followed_by_a_number() -> None:
    assert impression_of("IMPRESSION 1. Dilated LV.\n2. No scar.") == "1. Dilated LV.\n2. No scar."


def test_a_whole_report_is_never_an_impression() -> None:
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


def test_the_impression_of_an_addendum_is_appended() -> None:
    report = "IMPRESSION: Dilated LV.\nADDENDUM: seen again\nall of it\nIMPRESSION: Small scar."
    assert impression_of(report) == "Dilated LV.\nSmall scar."


@pytest.mark.parametrize("style", list(ReaderStyle))
def test_the_impression_of_every_reader_style_is_extracted_whole(style: ReaderStyle) -> None:
    for seed in range(100):
        impression = compose_impression(draw_heart(seed), seed, style)
        assert (
            impression_of(f"{BEFORE}IMPRESSION:\n{impression}\nElectronically signed by: X")
            == impression
        )
        assert stated_impression(impression) == impression


def test_a_labelled_impression_loses_only_its_heading() -> None:
    assert (
        stated_impression("IMPRESSION: Dilated LV.\n\nFindings suggest DCM")
        == "Dilated LV.\nFindings suggest DCM"
    )
    assert stated_impression("Dilated LV.\r\nSummary: DCM") == "Dilated LV.\nSummary: DCM"
    assert stated_impression("  ") is None
