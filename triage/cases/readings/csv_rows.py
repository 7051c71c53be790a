"""Reads the rows of a CSV file as a spreadsheet or an information system exports it.

The first line names the columns, in any case. The delimiter is a comma, semicolon, tab or bar; the
text is UTF-8 or UTF-16, with or without a byte order mark. A row with more or fewer cells than the
first line is an error, because a shifted column would assign a value to another patient.
"""

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TextIO

from triage.domain.errors import ConfigurationError

DELIMITERS = ",;\t|"
LONGEST_CELL = 1 << 20  #: characters; a longer one is a quote that was never closed
UTF_16 = (b"\xff\xfe", b"\xfe\xff")

csv.field_size_limit(LONGEST_CELL)


def read_rows(
    path: Path, check_columns: Callable[[Sequence[str]], None]
) -> Iterator[tuple[int, Mapping[str, str]]]:
    """Yield each row by column, with the line on which it begins; raise ConfigurationError.

    `check_columns` is called with the names of the columns, in lower case. Blank rows are skipped.
    """
    line = 1
    try:
        with path.open(encoding=_encoding(path), newline="") as file:
            for line, row in _rows(file, path, check_columns):
                yield line, row
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path}, after line {line}: not UTF-8 text") from None
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}") from None


def _encoding(path: Path) -> str:
    """Return UTF-16 for its byte order mark (spreadsheets save "Unicode" so), else UTF-8."""
    with path.open("rb") as file:
        return "utf-16" if file.read(2) in UTF_16 else "utf-8-sig"


def _rows(
    file: TextIO, path: Path, check_columns: Callable[[Sequence[str]], None]
) -> Iterator[tuple[int, Mapping[str, str]]]:
    first = file.readline()
    delimiter = max(DELIMITERS, key=first.count)
    names = next(csv.reader([first], delimiter=delimiter))
    columns = [column.strip().lower() for column in names]
    check_columns(columns)
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
                    f"{path}, line {line}: {len(row)} columns instead of {len(columns)}: put a cell"
                    f" with {delimiter!r} or a line break in quotation marks"
                )
            yield line, dict(zip(columns, row, strict=True))
        line = rows.line_num + 2  # first line of the next row; the header is one line
