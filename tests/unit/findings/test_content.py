"""The content of versions, and the file that is written from it."""

from dataclasses import replace
from pathlib import Path

import pytest

from triage.domain.errors import ConfigurationError
from triage.domain.finding_version import ChangeNote, FindingVersion, open_version
from triage.findings.content import (
    build_finding_set,
    read_content,
    write_content,
    write_findings_file,
)
from triage.findings.loader import load_entries, load_findings, parse_findings

SHIPPED = [Path("triage/findings/default.yaml"), Path("triage/findings/drawn_hearts.yaml")]
NOTE = ChangeNote("anna", 1.0, "why")
#: Uses every field, and characters that YAML and JSON escape.
EVERYTHING = """
findings:
  - id: scar
    name: "Narbe: Septum 'mid-wall' #1"
    prompts: ["Late enhancement: yes", "Étendue # de 30 %"]
    views: [lge_sa, lge_lax]
    examples: {present: [1.2.3], absent: [1.2.4]}
    code: {value: "87878005", scheme: SCT, meaning: "Left: ventricle"}
    verified_by: "anna"
    site: {value: "1", scheme: SCT, meaning: Heart}
  - {id: thrombus, name: T, views: [lge_sa], examples: confirmed}
"""


def versions_of(path: Path) -> list[FindingVersion]:
    return [open_version(entry.id, write_content(entry), NOTE) for entry in load_entries(path)]


@pytest.fixture(params=[*SHIPPED, None], ids=["default", "drawn hearts", "every field"])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param is not None:
        return Path(request.param)
    path = tmp_path / "findings.yaml"
    path.write_text(EVERYTHING, encoding="utf-8")
    return path


def test_findings_of_the_ledger_are_those_of_the_file_with_its_digest(file: Path) -> None:
    loaded, built = load_findings(file), build_finding_set(versions_of(file))
    assert built.digest == loaded.digest
    assert [f.version for f in built.findings] == [1] * len(loaded.findings)
    assert tuple(replace(f, version=None) for f in built.findings) == loaded.findings


def test_a_written_file_has_the_same_findings(file: Path) -> None:
    versions = versions_of(file)
    text = write_findings_file(versions, {v.finding: "version 1, draft" for v in versions})
    assert text.count("# version 1, draft") == len(versions)
    assert parse_findings(text, "exported") == load_findings(file)


def test_formatting_and_defaults_do_not_change_the_content(tmp_path: Path) -> None:
    short, long = tmp_path / "short.yaml", tmp_path / "long.yaml"
    short.write_text("findings: [{id: a, name: A, prompts: [abc], views: [lge_sa]}]")
    long.write_text(
        "findings:\n  - views: [lge_sa]\n    prompts: [' abc ']\n    name: A\n    id: a\n"
        "    examples: null\n    verified_by: ''\n"
    )
    assert [v.digest for v in versions_of(short)] == [v.digest for v in versions_of(long)]


def test_a_content_with_an_unknown_field_names_finding_version_and_field() -> None:
    (first, *_) = versions_of(SHIPPED[0])
    newer = replace(first, content=first.content.replace('"name"', '"new_field": 1, "name"'))
    with pytest.raises(ConfigurationError, match=rf"{first.finding}, version 1.*new_field"):
        read_content(newer)
