"""The table of `triage score`: a CSV file that grows study by study; another run continues it.

The rows of a study are written together and synced. Every row states by what it was made, so a run
with another bundle or other findings does not continue the file. A run begins by removing, in one
step, the rows of studies that are not complete: torn ones, those that failed for a passing reason,
and those of studies whose files have changed in number.

Invariants: a file that was cut at any byte is continued to the table of an undisturbed run
(tests/unit/pipeline/test_score_table.py).
"""

import csv
import os
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from io import StringIO
from pathlib import Path

from triage.concurrency.file_lock import acquire_lock
from triage.domain.assessment import Flag
from triage.domain.errors import ConfigurationError
from triage.domain.reasons import ReasonCode
from triage.domain.spreadsheet_cells import quote_formula, unquote_formula
from triage.pipeline.score_studies import FolderStudy, ScoreRow

MADE_WITH = "made_with"
COLUMNS = (
    *("study_uid", "patient_id", "accession", "finding", "score", "threshold", "flag"),
    *("evaluated", "why", "distance", "familiar", "views", "code", "files", "remarks", MADE_WITH),
)
YES, NO = "yes", "no"
FLAGS = {Flag.YES: YES, Flag.NO: NO, Flag.NOT_EVALUATED: None}

Rows = tuple[ScoreRow, ...]


def to_values(row: ScoreRow, made_with: str) -> dict[str, object]:
    """Return the values of a row by column, for JSON."""
    values: dict[str, object] = {name: getattr(row, name, None) for name in COLUMNS}
    return values | {
        "flag": FLAGS[row.flag],
        "evaluated": row.is_evaluated,
        "views": list(row.views),
        MADE_WITH: made_with,
    }


class ScoreTable:
    """A CSV file of scores, open for more rows; no other run writes to it meanwhile."""

    def __init__(
        self, path: Path, made_with: str, descriptor: int, done: Mapping[str, Rows]
    ) -> None:
        self.done = done  #: the rows of complete studies, by Study Instance UID
        self._path, self._made_with, self._descriptor = path, made_with, descriptor

    def append(self, rows: Rows) -> None:
        """Write the rows of a study; raise ConfigurationError if the file cannot be written."""
        content = _format_rows([_to_cells(row, self._made_with) for row in rows])
        try:
            _write_all(self._descriptor, content)
        except OSError as error:
            raise _unwritable(self._path, error) from None

    def close(self) -> None:
        """Allow other runs to write to the file."""
        os.close(self._descriptor)


def open_score_table(
    path: Path, made_with: str, findings: Collection[str], studies: Sequence[FolderStudy]
) -> ScoreTable:
    """Open a table to add the rows of studies to it.

    `made_with` states bundle, findings and release, `findings` are the ids that a complete study
    has rows of. Complete studies that are not in `studies` stay in the file.

    Raises:
        ConfigurationError: The file was made with something else, is no such table, cannot be
            written, or another run writes to it.
    """
    path = path.resolve()
    try:
        before = _lock(path)
        try:
            known = _read_rows(path, made_with)
            files = {study.study_uid: study.files for study in studies}
            complete = {
                uid: rows for uid, rows in known.items() if _is_complete(rows, findings, files)
            }
            return ScoreTable(path, made_with, _replace(path, made_with, complete), complete)
        finally:
            os.close(before)
    except OSError as error:
        raise _unwritable(path, error) from None


def _unwritable(path: Path, error: OSError) -> ConfigurationError:
    return ConfigurationError(f"cannot write {path}: {error.strerror}")


def _lock(path: Path) -> int:
    descriptor = acquire_lock(path)
    if descriptor is None:
        raise ConfigurationError(f"another run writes to {path}: wait for it, or end it")
    return descriptor


def _replace(path: Path, made_with: str, complete: Mapping[str, Rows]) -> int:
    """Replace the file by the rows of complete studies; return a descriptor with its lock."""
    cells = [_to_cells(row, made_with) for rows in complete.values() for row in rows]
    part = path.with_name(f".{path.name}.part")
    part.unlink(missing_ok=True)
    descriptor = _lock(part)
    try:
        _write_all(descriptor, _format_rows([COLUMNS, *cells]))
        part.replace(path)  # the lock stays with the file
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _write_all(descriptor: int, content: bytes) -> None:
    left = memoryview(content)
    while left:
        left = left[os.write(descriptor, left) :]
    os.fsync(descriptor)


def _is_complete(rows: Rows, findings: Collection[str], files: Mapping[str, int]) -> bool:
    """Return whether a study needs no other attempt."""
    first = rows[0]
    has_all = {row.finding for row in rows} in ({""}, set(findings))
    is_unchanged = files.get(first.study_uid, first.files) == first.files
    return has_all and is_unchanged and first.code is not ReasonCode.SCORING_FAILED


# -- cells


def _format_rows(rows: Iterable[Sequence[str]]) -> bytes:
    text = StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode(errors="backslashreplace")


def _to_cells(row: ScoreRow, made_with: str) -> list[str]:
    return [_to_cell(value) for value in to_values(row, made_with).values()]


def _to_cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return YES if value else NO
    if isinstance(value, list):
        return " ".join(value)
    # A line break would divide a row that was torn in two that are not.
    return quote_formula(" ".join(str(value).splitlines()))


def _read_rows(path: Path, made_with: str) -> Mapping[str, Rows]:
    """Return the whole rows of a table by study; raise ConfigurationError if it is another."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise _other_file(path) from None
    whole = text[: text.rfind("\n") + 1]  # the last line may be torn
    lines = list(csv.reader(StringIO(whole)))
    head = ",".join(COLUMNS)
    if not lines and head.startswith(text):
        return {}
    if not lines or tuple(lines[0]) != COLUMNS:
        raise _other_file(path)
    studies: dict[str, list[ScoreRow]] = defaultdict(list)
    for cells in lines[1:]:
        if len(cells) != len(COLUMNS):
            raise _other_file(path)
        values = dict(zip(COLUMNS, map(unquote_formula, cells), strict=True))
        if values[MADE_WITH] != made_with:
            raise ConfigurationError(
                f"{path} was made with {values[MADE_WITH]}, and this run is with {made_with}: give "
                "another file with --csv, or remove this one"
            )
        try:
            row = _to_row(values)
        except (ValueError, StopIteration):  # a spreadsheet has written it anew
            raise _other_file(path) from None
        studies[row.study_uid].append(row)
    return {uid: tuple(rows) for uid, rows in studies.items()}


def _other_file(path: Path) -> ConfigurationError:
    return ConfigurationError(
        f"{path} is no table of `triage score`: give another file with --csv, or remove this one"
    )


def _to_row(values: Mapping[str, str]) -> ScoreRow:
    score, threshold, distance = (
        float(cell) if (cell := values[name]) else None
        for name in ("score", "threshold", "distance")
    )
    return ScoreRow(
        study_uid=values["study_uid"],
        patient_id=values["patient_id"],
        accession=values["accession"],
        finding=values["finding"],
        score=score,
        threshold=threshold,
        flag=next(flag for flag, cell in FLAGS.items() if (cell or "") == values["flag"]),
        why=values["why"],
        code=ReasonCode(values["code"]) if values["code"] else None,
        distance=distance,
        familiar=values["familiar"] == YES if values["familiar"] else None,
        views=tuple(values["views"].split()),
        files=int(values["files"]),
        remarks=values["remarks"],
    )
