"""Reports in a CSV file: one row a study, as a hospital's information system exports them.

    study_uid,accession,impression,confirmed
    1.2.840.1,A4711,"Dilated left ventricle, LVEF 35%.",lv_dilation;lv_dysfunction

Columns, in any order and any case; others are passed over: `accession` or `study_uid` or both;
`impression`, taken as it is, or `report`, of which the impression is looked for, or `confirmed`
alone (ids of findings, parted by ; or blanks; `none` where none is; an empty cell says nothing);
`patient_id`, compared with that of the images.

Rule: a row that is not understood stops the reading, with its line. A shifted column would put one
patient's words to another one's heart.
"""

import csv
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TextIO

from triage.cases.readings.impression import impression_of, stated_impression
from triage.cases.readings.reading_report import ReadingReport
from triage.domain.errors import ConfigurationError

KEYS = ("study_uid", "accession")
TEXTS = ("impression", "report")
CONFIRMED, PATIENT_ID = "confirmed", "patient_id"
NONE = "none"  #: is confirmed; a blank says nothing
COLUMNS = (*KEYS, *TEXTS, CONFIRMED, PATIENT_ID)
DELIMITERS = ",;\t|"
LONGEST_CELL = 1 << 20  #: characters; a longer one is a quote that was never closed
UTF_16 = (b"\xff\xfe", b"\xfe\xff")

csv.field_size_limit(LONGEST_CELL)


def read_table(path: Path) -> Iterator[tuple[int, ReadingReport]]:
    """Yield the line on which each row begins, and its report; raise ConfigurationError."""
    line = 1
    try:
        with path.open(encoding=_encoding(path), newline="") as file:
            for line, report in _reports(file, path):
                yield line, report
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path}, after line {line}: not UTF-8 text") from None
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}") from None


def _encoding(path: Path) -> str:
    """UTF-8, with or without its mark; UTF-16 with its mark, as spreadsheets save "Unicode"."""
    with path.open("rb") as file:
        return "utf-16" if file.read(2) in UTF_16 else "utf-8-sig"


def _reports(file: TextIO, path: Path) -> Iterator[tuple[int, ReadingReport]]:
    first = file.readline()
    delimiter = max(DELIMITERS, key=first.count)
    columns = [column.strip().lower() for column in next(csv.reader([first], delimiter=delimiter))]
    _check_columns(columns, path)
    rows, line = csv.reader(file, delimiter=delimiter, strict=True), 2
    while True:
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            raise ConfigurationError(f"{path}, line {line}: {error}") from None
        if any(cell.strip() for cell in row):
            if len(row) != len(columns):
                raise ConfigurationError(
                    f"{path}, line {line}: {len(row)} columns instead of {len(columns)}: put a text"
                    f" that holds {delimiter!r} or a line break in quotation marks"
                )
            yield line, _report(dict(zip(columns, row, strict=True)), path, line)
        line = rows.line_num + 2  # of the next row; the header is one line


def _check_columns(columns: list[str], path: Path) -> None:
    known = [column for column in columns if column in COLUMNS]
    if twice := sorted({column for column in known if known.count(column) > 1}):
        raise ConfigurationError(f"{path}, line 1: two columns are called {', '.join(twice)}")
    if not set(known) & set(KEYS) or not set(known) & {*TEXTS, CONFIRMED}:
        raise ConfigurationError(
            f"{path}, line 1: a file of reports begins with the names of its columns: accession or"
            f" study_uid, and impression, report or confirmed"
        )


def _report(row: Mapping[str, str], path: Path, line: int) -> ReadingReport:
    study_uid, accession = (row.get(key, "").strip() for key in KEYS)
    if not study_uid and not accession:
        raise ConfigurationError(f"{path}, line {line}: neither accession nor study_uid")
    if study_uid and not re.fullmatch(r"[0-9.]{1,64}", study_uid):
        raise ConfigurationError(f"{path}, line {line}: study_uid is no UID")
    confirmed = tuple(re.findall(r"[^;,\s]+", row.get(CONFIRMED, "")))
    if not all(re.fullmatch(r"[a-z][a-z0-9_]{0,31}", each) for each in confirmed):
        raise ConfigurationError(
            f"{path}, line {line}: confirmed: ids of findings have small letters, digits and"
            " underscores, and stand apart by ; or a blank"
        )
    patient_id = row.get(PATIENT_ID, "").strip()
    return ReadingReport(
        study_uid=study_uid,
        accession=accession,
        impression=stated_impression(row.get("impression", ""))
        or impression_of(row.get("report", "")),
        confirmed=() if confirmed == (NONE,) else tuple(dict.fromkeys(confirmed)),
        labelled=bool(confirmed),
        patient_ids=(patient_id,) if patient_id else (),
    )
