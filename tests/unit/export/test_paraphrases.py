"""The other words of evaluation are other words."""

from pathlib import Path

import export
from triage.config import Settings
from triage.findings.loader import load_findings
from triage.phantom.impression import templates

ASKED = load_findings(Path(export.__file__).parent / "paraphrases.yaml")


def test_no_reader_ever_writes_them() -> None:
    written = "\n".join(templates()).lower()
    for finding in ASKED.findings:
        for prompt in finding.prompts:
            assert prompt.lower() not in written


def test_they_ask_for_the_findings_of_the_default_file_with_none_of_its_prompts() -> None:
    default = load_findings(Settings().findings)
    assert [each.id for each in ASKED.findings] == [each.id for each in default.findings]
    asked = {prompt for each in default.findings for prompt in each.prompts}
    assert not asked & {prompt for each in ASKED.findings for prompt in each.prompts}
