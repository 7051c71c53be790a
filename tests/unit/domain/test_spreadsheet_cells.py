import pytest
from hypothesis import given
from hypothesis import strategies as st

from triage.domain.spreadsheet_cells import quote_formula, unquote_formula


@pytest.mark.parametrize(
    "cell", ["=HYPERLINK(A1)", "+1+1", "-2+3", "@SUM(1)", "\t=1", "\r=1", " =1", "\n", "'=1"]
)
def test_a_formula_becomes_a_text(cell: str) -> None:
    assert quote_formula(cell) == f"'{cell}"


@pytest.mark.parametrize("cell", ["", "SAX", "4CH -2", "-1.5", "+2", "1e-3", "'fine'", "a=b"])
def test_other_cells_stay(cell: str) -> None:
    assert quote_formula(cell) == cell


@given(st.text(alphabet="'=+-@ \t\r\n1.a", max_size=6))
def test_no_cell_is_computed_and_each_is_found_again(cell: str) -> None:
    quoted = quote_formula(cell)
    assert unquote_formula(quoted) == cell
    assert not quoted.startswith(("=", "@", "\t", "\r"))
