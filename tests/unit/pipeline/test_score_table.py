"""The CSV file of scores: its columns, and how another run continues it."""

import csv
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from triage.domain.assessment import Flag
from triage.domain.errors import ConfigurationError
from triage.domain.reasons import ReasonCode
from triage.pipeline.score_studies import FolderStudy, ScoreRow
from triage.pipeline.score_table import Rows, ScoreTable, open_score_table, to_values

FINDINGS = ("lv_dilation", "lge")
MADE = "triage 1, bundle a, findings b"
ROW = ScoreRow(
    study_uid="1.2.1",
    patient_id="0004711",
    accession="A1",
    finding="lv_dilation",
    score=0.1 + 0.2,
    threshold=0.25,
    flag=Flag.YES,
    why="above the threshold",
    code=None,
    distance=1.5,
    familiar=True,
    views=("cine_sa", "lge_sa"),
    files=3,
    remarks="",
)
FAILED = replace(
    ROW, finding="", score=None, threshold=None, flag=Flag.NOT_EVALUATED, views=(), distance=None
)
FAILED = replace(FAILED, familiar=None, why="no MR images", code=ReasonCode.NO_MR_IMAGES)


def rows_of(study_uid: str) -> Rows:
    other = replace(
        ROW,
        study_uid=study_uid,
        finding="lge",
        flag=Flag.NOT_EVALUATED,
        score=None,
        why="the study shows none of the views lge_sa, lge_lax",
        code=ReasonCode.VIEWS_NOT_SHOWN,
        familiar=False,
    )
    return replace(ROW, study_uid=study_uid), other


STUDIES = {uid: rows_of(uid) for uid in ("1.2.1", "1.2.2")} | {"": (replace(FAILED, study_uid=""),)}
FOLDER = [FolderStudy(uid, ("a", "b", "c")) for uid in STUDIES]


def open_table(
    path: Path, made_with: str = MADE, folder: Sequence[FolderStudy] = FOLDER
) -> ScoreTable:
    return open_score_table(path, made_with, FINDINGS, folder)


def fill(path: Path) -> None:
    """Write what a table lacks, as the command does."""
    with closing(open_table(path)) as table:
        for uid, rows in STUDIES.items():
            if uid not in table.done:
                table.append(rows)


def test_the_columns_are_those_that_are_promised(tmp_path: Path) -> None:
    fill(tmp_path / "out.csv")
    with (tmp_path / "out.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [*rows[0]][:12] == [
        *("study_uid", "patient_id", "accession", "finding", "score", "threshold", "flag"),
        *("evaluated", "why", "distance", "familiar", "views"),
    ]
    flagged, silent, *_, failed = rows
    assert (flagged["flag"], flagged["evaluated"], flagged["familiar"]) == ("yes", "yes", "yes")
    assert float(flagged["score"]) == ROW.score
    assert flagged["patient_id"] == "0004711"
    assert flagged["views"] == "cine_sa lge_sa"
    assert (silent["flag"], silent["evaluated"], silent["familiar"]) == ("", "no", "no")
    assert silent["code"] == "views-not-shown"
    assert (failed["finding"], failed["familiar"], failed["why"]) == ("", "", "no MR images")
    assert {row["made_with"] for row in rows} == {MADE}


def test_json_has_the_same_columns_with_their_types() -> None:
    values = to_values(ROW, MADE)
    assert (values["flag"], values["evaluated"], values["score"]) == ("yes", True, ROW.score)
    assert values["views"] == ["cine_sa", "lge_sa"]
    assert to_values(FAILED, MADE)["flag"] is None


def test_no_cell_is_a_formula_or_divides_a_row(tmp_path: Path) -> None:
    hostile = replace(FAILED, patient_id="=cmd|'/C calc'!A0", accession="@A\n1\r2", why="-2+3")
    with closing(open_table(tmp_path / "out.csv")) as table:
        table.append((hostile,))
    text = (tmp_path / "out.csv").read_text()
    assert text.count("\n") == 2
    assert {"'=cmd|'/C calc'!A0", "'@A 1 2", "'-2+3"} <= {*next(csv.reader([text.split("\n")[1]]))}
    with closing(open_table(tmp_path / "out.csv")) as table:
        (row,) = table.done["1.2.1"]
    assert (row.patient_id, row.why) == (hostile.patient_id, hostile.why)


def test_a_table_that_was_cut_at_any_byte_is_continued_to_the_same_table(tmp_path: Path) -> None:
    fill(tmp_path / "whole.csv")
    whole = (tmp_path / "whole.csv").read_bytes()
    end = len(whole)
    for length in (*range(0, end, 13), *range(end - 20, end + 1)):
        (tmp_path / "cut.csv").write_bytes(whole[:length])
        fill(tmp_path / "cut.csv")
        assert (tmp_path / "cut.csv").read_bytes() == whole, length


def test_complete_studies_are_returned_as_they_were(tmp_path: Path) -> None:
    fill(tmp_path / "out.csv")
    with closing(open_table(tmp_path / "out.csv", folder=[])) as table:
        assert table.done == STUDIES


@pytest.mark.parametrize(
    "made_with", ["triage 1, bundle c, findings b", "triage 1, bundle a, findings c"]
)
def test_a_table_of_another_bundle_or_of_other_findings_is_refused(
    tmp_path: Path, made_with: str
) -> None:
    fill(tmp_path / "out.csv")
    before = (tmp_path / "out.csv").read_bytes()
    with pytest.raises(
        ConfigurationError, match=f"made with {MADE}, and this run is with {made_with}"
    ):
        open_table(tmp_path / "out.csv", made_with)
    assert (tmp_path / "out.csv").read_bytes() == before


@pytest.mark.parametrize(
    "content", [b"name,age\nx,1\n", b"no newline", b"\xff\xfe\x00", b"study_uid;patient_id\n"]
)
def test_another_file_is_refused_and_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "out.csv").write_bytes(content)
    with pytest.raises(ConfigurationError, match="is no table of `triage score`"):
        open_table(tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_bytes() == content


@pytest.mark.parametrize(("old", "new"), [(b",0.25,", b",0;25,"), (b"yes,yes", b"maybe,yes")])
def test_a_table_that_a_spreadsheet_changed_is_refused(
    tmp_path: Path, old: bytes, new: bytes
) -> None:
    fill(tmp_path / "out.csv")
    content = (tmp_path / "out.csv").read_bytes()
    (tmp_path / "out.csv").write_bytes(content.replace(old, new))
    with pytest.raises(ConfigurationError, match="is no table of `triage score`"):
        open_table(tmp_path / "out.csv")


def test_a_failed_study_and_one_with_other_files_are_tried_again(tmp_path: Path) -> None:
    failed = replace(FAILED, code=ReasonCode.SCORING_FAILED)
    with closing(open_table(tmp_path / "out.csv")) as table:
        table.append((failed,))
        table.append(STUDIES["1.2.2"])
    with closing(open_table(tmp_path / "out.csv")) as table:
        assert [*table.done] == ["1.2.2"]
    grown = [FolderStudy("1.2.2", ("a", "b", "c", "d"))]
    with closing(open_table(tmp_path / "out.csv", folder=grown)) as table:
        assert not table.done


def test_two_runs_do_not_write_to_one_file(tmp_path: Path) -> None:
    with (
        closing(open_table(tmp_path / "out.csv")),
        pytest.raises(ConfigurationError, match="another run writes to"),
    ):
        open_table(tmp_path / "out.csv")
    open_table(tmp_path / "out.csv").close()


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot write .*none/out.csv: No such file"):
        open_table(tmp_path / "none" / "out.csv")
