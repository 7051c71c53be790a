"""Reports equal their golden files, which `python -m tests.unit.reports.golden` rewrites."""

import pytest

from tests.unit.reports import golden


@pytest.mark.parametrize(("kind", "ending"), golden.CASES)
def test_report_equals_its_golden_file(kind: str, ending: str) -> None:
    recorded = golden.path(kind, ending).read_text(encoding="utf-8")
    assert golden.text(kind, ending) == recorded, "python -m tests.unit.reports.golden rewrites it"


def test_every_golden_file_is_compared() -> None:
    files = {file.name for file in golden.FOLDER.iterdir()}
    assert files == {golden.path(*case).name for case in golden.CASES}
