"""Cells of a CSV file that a spreadsheet shows as text instead of computing them.

A spreadsheet computes a cell that begins as `FORMULA` states; a formula can start programs and send
the table elsewhere. An apostrophe in front makes it a text (OWASP, "CSV Injection").
"""

import re

FORMULA = re.compile(r"'*(\s*[=+\-@]|[\t\r\n])")
NUMBER = re.compile(r"[+-]?\d+(\.\d+)?([eE][+-]?\d+)?")


def quote_formula(cell: str) -> str:
    """Return a cell that is not computed; a number stays as it is."""
    return f"'{cell}" if FORMULA.match(cell) and not NUMBER.fullmatch(cell) else cell


def unquote_formula(cell: str) -> str:
    """Return the cell for which `quote_formula` returned this one."""
    rest = cell[1:]
    return rest if cell.startswith("'") and quote_formula(rest) == cell else cell
