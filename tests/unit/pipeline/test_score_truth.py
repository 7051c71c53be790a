"""Known findings from a CSV file, and how well scores agree with them."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.pipeline.score_rows import FINDINGS, scored, unscored
from triage.domain.assessment import Flag
from triage.domain.errors import ConfigurationError
from triage.domain.performance import observed_rate
from triage.pipeline.score_truth import (
    Basis,
    KnownFindings,
    count_labelled_studies,
    measure_scores,
    read_truth,
)


def read(tmp_path: Path, text: str) -> KnownFindings:
    path = tmp_path / "truth.csv"
    path.write_text(text, encoding="utf-8-sig")
    return read_truth(path, FINDINGS)


def test_a_table_of_a_spreadsheet_is_read(tmp_path: Path) -> None:
    truth = read(tmp_path, "Age;Patient_ID;LGE;lv_dilation\n53;P1;1;0\n54;'=P2;;1.0\n;;;\n")
    assert truth.key == "patient_id"
    assert truth.labels == {"P1": {"lge": True, "lv_dilation": False}, "=P2": {"lv_dilation": True}}
    assert truth.ignored == ("age",)


def test_the_study_is_preferred_to_the_patient(tmp_path: Path) -> None:
    truth = read(tmp_path, "patient_id,study_uid,accession,lge\nP1,1.2,A1,1\nP1,1.3,A2,0\n")
    assert truth.key == "study_uid"
    assert truth.find(replace(scored("1.3", 0.1), patient_id="P1")) == {"lge": False}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,lge\nx,1\n", "line 1: the first line must name the columns: study_uid, accession"),
        ("accession,scar\nx,1\n", "at least one of the findings lge, lv_dilation"),
        ("accession,lge,lge\nx,1,1\n", "line 1: two columns are named lge"),
        ("accession,lge\nA1,1\nA2,yes\n", "line 3: lge is 'yes', not 0, 1 or empty"),
        ("accession,lge\nA1,1\nA1,0\n", "line 3: another row has the same accession"),
        ("accession,lge\nA1,1,0\n", "line 2: 3 columns instead of 2"),
    ],
)
def test_a_table_that_is_wrong_is_an_error_with_its_line(
    tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        read(tmp_path, text)


LABELS = {f"1.{place}": {"lge": place > 3} for place in range(8)}
TRUTH = KnownFindings("study_uid", LABELS, ())
SCORES = (0.1, 0.2, 0.3, 0.6, 0.4, 0.7, 0.8, 0.9)
ROWS = [scored(f"1.{place}", score) for place, score in enumerate(SCORES)]


def test_the_scores_of_a_finding_are_measured() -> None:
    (found,) = measure_scores(ROWS, TRUTH, FINDINGS)
    assert (found.finding, found.basis) == ("lge", Basis.ALL)
    assert (found.positives, found.negatives, found.unscored) == (4, 4, 0)
    assert found.auc is not None
    assert found.auc.value == pytest.approx(15 / 16)
    assert found.auc.low < found.auc.value <= found.auc.high
    assert (found.sensitivity, found.specificity) == (observed_rate(3, 4), observed_rate(3, 4))
    assert [tuple(point) for point in found.roc[:: len(found.roc) - 1]] == [
        (0.9, 0, 0.25),
        (0.1, 1, 1),
    ]
    assert measure_scores(ROWS, TRUTH, FINDINGS) == [found]


def test_scores_that_the_worker_does_not_report_are_measured_with_the_others_and_apart() -> None:
    silent = [replace(row, flag=Flag.NOT_EVALUATED) for row in ROWS[:2]]
    every, evaluated = measure_scores([*silent, *ROWS[2:]], TRUTH, FINDINGS)
    assert (every.basis, every.positives, every.negatives) == (Basis.ALL, 4, 4)
    assert (evaluated.basis, evaluated.positives, evaluated.negatives) == (Basis.EVALUATED, 4, 2)
    assert (every.unscored, every.evaluated) == (0, 6)
    assert (evaluated.unscored, evaluated.evaluated) == (2, 6)


def test_a_study_without_a_score_counts_as_such() -> None:
    rows = [*ROWS[1:], unscored("1.0"), unscored("1.9")]
    (found,) = measure_scores(rows, TRUTH, FINDINGS)
    assert (found.negatives, found.unscored) == (3, 1)
    assert count_labelled_studies(rows, TRUTH) == 8


def test_one_kind_alone_has_no_area() -> None:
    (found,) = measure_scores(ROWS[4:], TRUTH, FINDINGS)
    assert (found.auc, found.roc, found.specificity) == (None, (), None)
    assert found.sensitivity == observed_rate(3, 4)


def test_the_threshold_is_that_of_each_study() -> None:
    """Thresholds may depend on the views of a study, and some views have none."""
    other = [replace(row, threshold=0.65) for row in ROWS[3:5]]
    (found,) = measure_scores(
        [*ROWS[:3], *other, replace(ROWS[5], threshold=None), *ROWS[6:]], TRUTH, FINDINGS
    )
    assert found.thresholds == (0.5, 0.65)
    assert (found.sensitivity, found.specificity) == (observed_rate(2, 3), observed_rate(4, 4))


def test_without_a_threshold_there_is_an_area_alone() -> None:
    rows = [replace(row, threshold=None, flag=Flag.NOT_EVALUATED) for row in ROWS]
    (found,) = measure_scores(rows, TRUTH, FINDINGS)
    assert found.auc is not None
    assert (found.sensitivity, found.specificity) == (None, None)
