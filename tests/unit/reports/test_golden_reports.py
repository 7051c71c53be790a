"""What a reviewer sees in a diff when a report changes: rewrite with `golden.py`."""

import pytest

from tests.unit.reports import golden


@pytest.mark.parametrize(("kind", "ending"), golden.CASES)
def test_report_reads_as_recorded(kind: str, ending: str) -> None:
    recorded = golden.path(kind, ending).read_text(encoding="utf-8")
    assert golden.text(kind, ending) == recorded, "python -m tests.unit.reports.golden rewrites it"


def test_nothing_is_recorded_that_nobody_compares() -> None:
    files = {file.name for file in golden.FOLDER.iterdir()}
    assert files == {golden.path(*case).name for case in golden.CASES}
