"""Blocks give up their slack for one sheet, and for nothing less."""

from hypothesis import given
from hypothesis import strategies as st

from triage.reports.layout import BOTTOM, TOP, PageBlock, paginate
from triage.reports.sheet import Sheet

ROOM = BOTTOM - TOP


def leave_empty(sheet: Sheet, y: float) -> None:
    """Draw nothing."""


def blocks(*sizes: tuple[float, float]) -> list[PageBlock]:
    return [PageBlock(height, leave_empty, slack=slack) for height, slack in sizes]


def test_a_sheet_with_room_keeps_its_slack() -> None:
    (page,) = paginate(blocks((ROOM / 2, 9), (ROOM / 2 - 1, 9)))
    assert [block.height for block in page] == [ROOM / 2, ROOM / 2 - 1]


def test_slack_is_given_up_in_equal_shares() -> None:
    (page,) = paginate(blocks((ROOM, 20), (30, 40)))
    given_up = ROOM - page[0].height, 30 - page[1].height
    assert sum(block.height for block in page) <= ROOM
    assert abs(given_up[1] - 2 * given_up[0]) < 0.01


def test_what_slack_cannot_save_is_not_squeezed() -> None:
    first, second = paginate(blocks((ROOM, 9), (30, 9)))
    assert [block.height for block in (*first, *second)] == [ROOM, 30]


@given(st.lists(st.tuples(st.floats(5, 60), st.floats(0, 5)), min_size=1, max_size=40))
def test_nothing_is_dropped_and_no_sheet_is_too_full(sizes: list[tuple[float, float]]) -> None:
    pages = paginate(blocks(*sizes))
    assert sum(map(len, pages)) == len(sizes)
    assert all(sum(block.height for block in page) <= ROOM + 1e-6 for page in pages)
    if sum(height - slack for height, slack in sizes) <= ROOM:
        assert len(pages) == 1
