"""The generated documents are up to date, and complete."""

import re
from pathlib import Path

import pytest

from tests.builders.generated_documents import DOCUMENTS
from tests.unit.deploy.files import text
from triage.__main__ import COMMANDS

TRIAGE = Path(__file__).parents[3] / "triage"


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_committed_document_is_the_generated_one(name: str) -> None:
    built = DOCUMENTS[name]()
    assert text(name) == built, "run: python -m tests.builders.generated_documents"


def test_every_command_is_documented() -> None:
    headings = set(re.findall(r"^## triage (\S+)$", text("COMMANDS.md"), re.MULTILINE))
    assert headings == {*COMMANDS}


def test_every_metric_of_the_code_is_documented() -> None:
    sources = [TRIAGE / "telemetry" / "metrics.py", TRIAGE / "runtime" / "prometheus.py"]
    named = {
        name for path in sources for name in re.findall(r'"(triage_\w+)"', path.read_text("utf-8"))
    }
    first_cells = re.findall(r"^\| `(triage_\w+)`", text("METRICS.md"), re.MULTILINE)
    documented = {name.removesuffix("_total") for name in first_cells}
    assert documented == named
