"""Reports in CSV files, as hospitals export them."""

from pathlib import Path

import pytest

from triage.cases.readings.reading_report import ReadingReport
from triage.cases.readings.table import read_table
from triage.domain.errors import ConfigurationError


def written(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    path = folder / "reports.csv"
    path.write_bytes(text.encode(encoding))
    return path


def rows(path: Path) -> list[ReadingReport]:
    return [report for _, report in read_table(path)]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_usual_delimiters_encodings_and_line_ends_are_read(
    tmp_path: Path, delimiter: str, encoding: str, end: str
) -> None:
    lines = (
        ("Accession", "ignored", "IMPRESSION ", "confirmed"),
        ("A1", "x", f'"Größer, 35%;{end}no ""scar"""', '"lv_dilation;lge lv_dysfunction"'),
        ("A2", "", "Normal", ""),
        ("", "", "", ""),
    )
    text = end.join(delimiter.join(line) for line in lines) + end
    first, second = rows(written(tmp_path, text, encoding))
    assert first.accession == "A1"
    assert first.impression == 'Größer, 35%;\nno "scar"'
    assert first.confirmed == ("lv_dilation", "lge", "lv_dysfunction")
    assert (second.accession, second.impression, second.confirmed) == ("A2", "Normal", ())


def test_only_the_impression_of_a_whole_report_is_read(tmp_path: Path) -> None:
    text = 'study_uid,report\n1.2.3,"FINDINGS: x\nIMPRESSION: Scar."\n1.2.4,Scar everywhere.\n'
    assert [row.impression for row in rows(written(tmp_path, text))] == ["Scar.", None]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "line 1: the first line must name the columns"),
        ("accession,words\nA1,x\n", "line 1: the first line must name"),
        ("impression\nx\n", "line 1: the first line must name"),
        ("accession,accession,impression\nA,B,x\n", "line 1: two columns are named accession"),
        ("accession,impression\nA1,a\nA2,b, c\n", "line 3: 3 columns instead of 2"),
        ('accession,impression\nA1,"a\nb"\n,c\n', "line 4: neither accession nor study_uid"),
        ('accession,impression\nA1,a\nA2,"b\nA3,c\n', "line 3: unexpected end of data"),
        ("study_uid,impression\nA1,a\n", "line 2: study_uid is not a valid UID"),
        ("accession,confirmed\nA1,Scar!\n", "line 2: confirmed: list ids of findings"),
    ],
)
def test_an_invalid_row_is_an_error_with_its_line(tmp_path: Path, text: str, error: str) -> None:
    with pytest.raises(ConfigurationError, match=f"reports.csv, {error}"):
        rows(written(tmp_path, text))


def test_another_encoding_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="not UTF-8 text"):
        rows(written(tmp_path, "accession,impression\nA1,Größe\n", "latin-1"))


@pytest.mark.parametrize(
    ("cell", "confirmed"),
    [("lge;lv_dilation", ("lge", "lv_dilation")), ("none", ()), ("", None)],
)
def test_a_blank_cell_is_not_a_label(
    tmp_path: Path, cell: str, confirmed: tuple[str, ...] | None
) -> None:
    path = tmp_path / "t.csv"
    path.write_text(f"accession,impression,confirmed\nACC1,No scar.,{cell}\n")
    ((_, report),) = read_table(path)
    assert report.labelled == (confirmed is not None)
    assert report.confirmed == (confirmed or ())
