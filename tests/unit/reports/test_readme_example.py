"""The worked example in triage/reports/README.md runs as it is printed."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.builders.assessments import mixed
from tests.builders.reportings import reporting
from triage import reports
from triage.domain.delivery import TEXT
from triage.reports import REPORTS, ReportType, build_products, draft

README = Path(reports.__file__).parent / "README.md"
MODULE, LINE = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)


class PlainText:
    """The module of the example, as `import plain_text` would give it."""

    KIND: str
    build: Callable[..., Any]

    def __init__(self) -> None:
        exec(compile(MODULE, str(README), "exec"), vars(self))  # noqa: S102 - our own document


def test_the_example_is_one_module_and_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    plain_text = PlainText()
    entry = eval(f"{{{LINE}}}", {"plain_text": plain_text, "ReportType": ReportType, "TEXT": TEXT})  # noqa: S307
    monkeypatch.setattr(reports, "REPORTS", {**REPORTS, **entry})
    (product,) = build_products(reporting(mixed()), [plain_text.KIND])
    lines = product.content.decode().splitlines()
    assert lines == [draft.MARK, *draft.sentences(mixed())]
    assert product.media_type == entry[plain_text.KIND].media_type == TEXT
    assert list(build_products(reporting(mixed()), [plain_text.KIND])) == [product]
