"""Accuracy of the table of rules on the series names of real hospitals, by vendor."""

import csv
from collections import defaultdict
from pathlib import Path

import pytest

from triage.imaging.names import normalise_name
from triage.imaging.rules import ImageFacts, View, find_match, load_rules

FOLDER = Path(__file__).parent / "series_names"
BEGIN, END = "<!-- table: begin -->\n", "<!-- table: end -->"
LEAST = 0.97
RULES = load_rules()


def labelled() -> list[dict[str, str]]:
    with (FOLDER / "names.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def matched(name: str) -> dict[str, str]:
    sequence = find_match(RULES.sequences, ImageFacts(name))
    view = find_match(RULES.views, ImageFacts(name))
    return {
        "sequence": sequence.means if sequence else "",
        "view": view.means if view and view.means is not View.SEVERAL else "",
    }


def scores(suffix: str = "") -> dict[tuple[str, str], tuple[int, int]]:
    """Return right answers and labelled names, by vendor and by sequence or view."""
    found: dict[tuple[str, str], list[bool]] = defaultdict(list)
    for row in labelled():
        answer = matched(row["name"])
        for what in ("sequence", "view"):
            truth = row[f"{suffix}{what}"]
            if truth:
                found[row["vendor"], what].append(answer[what] == truth)
                found["all", what].append(answer[what] == truth)
    return {key: (sum(rights), len(rights)) for key, rights in found.items()}


def table() -> str:
    lines = ["| vendor | sequence | view |", "| --- | --- | --- |"]
    reviewed = scores()
    for vendor in ("GE", "Philips", "Siemens", "all"):
        cells = [
            f"{right} of {names} ({right / names:.1%})"
            for right, names in (reviewed[vendor, what] for what in ("sequence", "view"))
        ]
        lines.append(f"| {vendor} | {cells[0]} | {cells[1]} |")
    return "\n".join(lines) + "\n"


def test_the_table_per_vendor_is_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        print(f"\n{table()}")
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert readme.partition(BEGIN)[2].partition(END)[0] == table()


@pytest.mark.parametrize("vendor", ["GE", "Philips", "Siemens"])
@pytest.mark.parametrize("what", ["sequence", "view"])
def test_labelled_names_are_recognised(vendor: str, what: str) -> None:
    right, names = scores()[vendor, what]
    assert right / names >= LEAST


def test_the_original_sequence_labels_are_matched() -> None:
    right, names = scores("weak_")["all", "sequence"]
    assert right / names >= LEAST


@pytest.mark.parametrize(
    ("name", "sequence", "view"),
    [
        ("  cine_tagging_3sl_SAX_b1s", "tagging", "SAX"),
        ("ShMOLLI_192i_SAX_b2s_SAX_b2s_SAX_b2s_T1MAP", "t1map", "SAX"),
        ("T2* mapping mid SAX", "t2starmap", "SAX"),
        ("CINESAX", "cine", "SAX"),
        ("2-chamber FIESTA CINE", "cine", "2CH"),
        ("BB - AX PA CLEAR", "t2w_darkblood", "PA"),
        ("Flow BH AO SENSE", "flow_pc", "AORTA"),
        ("           sbFE/M2D/SA", "cine", "SAX"),
        ("cine eje corto de base a apex", "cine", "SAX"),
        ("Cine 4-Kammerblick", "cine", "4CH"),
        ("coupes de foie T1", "", ""),
        ("plano de referencia", "", ""),
        ("perfect", "", ""),
        ("Stress_Perf_3sl", "perfusion", ""),
        ("LGE_PSIR_4ch", "lge", "4CH"),
        ("late gad short axis", "lge", "SAX"),
        ("AX_LIVER_12echo", "", "AX"),
        ("DE_overview_2Ch_3Ch_4Ch", "lge", ""),
        ("", "", ""),
    ],
)
def test_names_of_other_lists_are_recognised(name: str, sequence: str, view: str) -> None:
    assert matched(name) == {"sequence": sequence, "view": view}


def test_a_name_is_normalised() -> None:
    assert (
        normalise_name("CINE_segmented-SAX  b1 T2*FastCINE") == "cine segmented sax b1 t2*fast cine"
    )
