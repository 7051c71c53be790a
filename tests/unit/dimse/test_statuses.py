import pytest

from triage.dimse.statuses import StoreStatus, describe_status, is_stored


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (0x0000, "0x0000 Success"),
        (0xB000, "0xB000 Coercion of data elements"),
        (0xA700, "0xA700 Out of resources"),
        (0xA7FF, "0xA7FF Out of resources"),
        (0xA900, "0xA900 Data set does not match SOP class"),
        (0xC210, "0xC210 Cannot understand"),
        (0x0111, "0x0111 Duplicate SOP instance: it was stored before"),
        (0x0116, "0x0116 Attribute value out of range"),
        (0xB001, "0xB001 a warning"),
        (0x0210, "0x0210 a status that PS3.4 does not define"),
    ],
)
def test_a_status_is_described_by_its_name_in_the_standard(status: int, words: str) -> None:
    assert describe_status(status) == words


def test_only_success_and_warnings_mean_stored() -> None:
    stored = [status for status in range(0x10000) if is_stored(status)]
    warnings = [0x0001, 0x0107, 0x0111, 0x0116, *range(0xB000, 0xC000)]  # 0x0111: stored before
    assert stored == [0x0000, *warnings]


def test_our_own_failures_are_failures() -> None:
    assert [status for status in StoreStatus if is_stored(status)] == [StoreStatus.SUCCESS]
