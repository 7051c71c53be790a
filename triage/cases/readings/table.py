"""Reads reports from a CSV file with one row per study, as an information system exports them.

    study_uid,accession,impression,confirmed
    1.2.840.1,A4711,"Dilated left ventricle, LVEF 35%.",lv_dilation;lv_dysfunction

Columns, in any order and in upper or lower case; other columns are ignored:

- `accession` or `study_uid`, or both;
- `impression`, used as it is, or `report`, in which headings mark the impression, or neither if
  there is `confirmed`;
- `confirmed`: ids of findings, separated by ; or spaces; `none` if none is confirmed; an empty cell
  is no label;
- `patient_id`, compared with that of the images.

An invalid row is an error with its line number: a shifted column would assign one patient's
impression to another patient.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from triage.cases.readings.csv_rows import read_rows
from triage.cases.readings.impression import impression_of, stated_impression
from triage.cases.readings.reading_report import ReadingReport
from triage.domain.errors import ConfigurationError

KEYS = ("study_uid", "accession")
TEXTS = ("impression", "report")
CONFIRMED, PATIENT_ID = "confirmed", "patient_id"
NONE = "none"  #: no finding is confirmed; a blank is no label
COLUMNS = (*KEYS, *TEXTS, CONFIRMED, PATIENT_ID)


def read_table(path: Path) -> Iterator[tuple[int, ReadingReport]]:
    """Yield each report with the line on which its row begins; raise ConfigurationError."""
    for line, row in read_rows(path, lambda columns: _check_columns(columns, path)):
        yield line, _report(row, path, line)


def _check_columns(columns: Sequence[str], path: Path) -> None:
    known = [column for column in columns if column in COLUMNS]
    if twice := sorted({column for column in known if known.count(column) > 1}):
        raise ConfigurationError(f"{path}, line 1: two columns are named {', '.join(twice)}")
    if not set(known) & set(KEYS) or not set(known) & {*TEXTS, CONFIRMED}:
        raise ConfigurationError(
            f"{path}, line 1: the first line must name the columns: accession or study_uid, and"
            " impression, report or confirmed"
        )


def _report(row: Mapping[str, str], path: Path, line: int) -> ReadingReport:
    study_uid, accession = (row.get(key, "").strip() for key in KEYS)
    if not study_uid and not accession:
        raise ConfigurationError(f"{path}, line {line}: neither accession nor study_uid is given")
    if study_uid and not re.fullmatch(r"[0-9.]{1,64}", study_uid):
        raise ConfigurationError(f"{path}, line {line}: study_uid is not a valid UID")
    confirmed = tuple(re.findall(r"[^;,\s]+", row.get(CONFIRMED, "")))
    if not all(re.fullmatch(r"[a-z][a-z0-9_]{0,31}", finding_id) for finding_id in confirmed):
        raise ConfigurationError(
            f"{path}, line {line}: confirmed: list ids of findings, separated by ; or a space; an"
            " id has lower-case letters, digits and underscores"
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
