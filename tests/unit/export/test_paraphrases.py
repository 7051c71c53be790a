"""The other words of evaluation are other words."""

from pathlib import Path

import pytest

import export
from triage.config import Settings
from triage.findings.loader import load_findings
from triage.phantom.readers import list_templates

DRAWN_HEARTS = Settings().findings.with_name("drawn_hearts.yaml")
ASKED = load_findings(Path(export.__file__).parent / "paraphrases.yaml")


def test_no_reader_ever_writes_them() -> None:
    written = "\n".join(list_templates()).lower()
    for finding in ASKED.findings:
        for prompt in finding.prompts:
            assert prompt.lower() not in written


@pytest.mark.parametrize("file", [Settings().findings, DRAWN_HEARTS])
def test_they_ask_for_the_same_findings_with_none_of_the_prompts(file: Path) -> None:
    findings = load_findings(file).findings
    assert [each.id for each in ASKED.findings] == [each.id for each in findings]
    asked = {prompt for each in findings for prompt in each.prompts}
    assert not asked & {prompt for each in ASKED.findings for prompt in each.prompts}
