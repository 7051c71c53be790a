"""The life of a finding on the command line."""

from pathlib import Path
from subprocess import CompletedProcess

import pytest
import yaml

from tests.integration.command_line import run_triage
from tests.integration.commands.site import configured
from triage.config import load
from triage.domain.errors import NotFound
from triage.findings.loader import parse_findings
from triage.runtime.finding_changes import open_finding_editor
from triage.runtime.findings import load_site_findings
from triage.store.ledger import SqlLedger

COMMENT = ("--comment", "why not")


@pytest.fixture
def site(tmp_path: Path, ledger: SqlLedger) -> Path:
    assert not ledger.list_studies()
    return configured(tmp_path, two_person_approval=True, audit={"file": "audit.log"})


def findings(site: Path, *words: object, right: bool = True) -> CompletedProcess[str]:
    shown = run_triage("findings", *words, config=site)
    assert (shown.returncode == 0) == right, shown.stderr
    return shown


def shipped(site: Path) -> list[dict[str, object]]:
    content = yaml.safe_load(load(site, {}).findings.read_text())
    return list(content["findings"])


def written(site: Path, entries: list[dict[str, object]]) -> Path:
    path = site.with_name("findings.yaml")
    path.write_text(yaml.safe_dump({"findings": entries}))
    return path


def test_a_finding_from_its_first_draft_to_its_end(site: Path) -> None:
    entries = shipped(site)
    changed = {**entries[0], "name": "Changed", "prompts": ["Left ventricle is large"]}
    new = {**entries[1], "id": "ours", "name": "Our finding"}
    id_ = str(entries[0]["id"])
    file = written(site, [changed, *entries[1:-1], new])

    shown = findings(site, "import", file, "--author", "anna", *COMMENT)
    assert f"{id_}: changed, a draft" in shown.stdout
    assert "ours: new, a draft" in shown.stdout
    assert f"{entries[-1]['id']}: not in the file, and kept as it is" in shown.stderr
    before = load_site_findings(load(site, {}))
    assert (
        before.reported.digest == parse_findings(yaml.safe_dump({"findings": entries}), "").digest
    )

    findings(site, "activate", "ours", *COMMENT, right=False)
    findings(site, "silence", "ours", "--author", "anna", *COMMENT)
    asked = findings(site, "activate", "ours", "--author", "anna", *COMMENT)
    assert "another person has to approve: triage findings approve ours" in asked.stdout
    assert "findings: 7 in the ledger, and 1 silent" in run_triage("check", config=site).stdout
    findings(site, "approve", "ours", "--author", "anna", *COMMENT, right=False)
    approved = findings(site, "approve", "ours", "--author", "ben", *COMMENT)
    assert "ours: version 4 is active; the workers use it from their next" in approved.stdout
    assert "ours" in findings(site, "list").stdout

    history = findings(site, "history", "ours").stdout
    assert "version 3, silent, anna asks for activation: activation asked for by anna" in history
    assert "  state: silent -> active\n  reports show it\n" in history
    assert "ben" in findings(site, "history").stdout
    diff = findings(site, "diff", id_, 1, 2).stdout
    assert f"name: {entries[0]['name']} -> Changed" in diff
    assert "prompt added: Left ventricle is large" in diff

    undone = findings(site, "undo", "ours", "--to", 2, *COMMENT)
    assert "state: active -> silent" in undone.stdout
    findings(site, "retire", "ours", *COMMENT)
    after = load_site_findings(load(site, {}))
    assert (after.reported.digest, after.silent) == (before.reported.digest, None)


def test_importing_an_export_changes_nothing(site: Path) -> None:
    findings(site, "import", written(site, shipped(site)), *COMMENT)
    exported = site.with_name("exported.yaml")
    exported.write_text(findings(site, "export").stdout)
    history = findings(site, "history").stdout
    again = findings(site, "import", exported, "--retire-missing", *COMMENT)
    assert again.stdout == "7 finding(s) unchanged\n"
    assert findings(site, "history").stdout == history
    assert findings(site, "export", "--active").stdout == exported.read_text()


def test_a_site_that_has_imported_nothing_uses_its_file(site: Path) -> None:
    settings = load(site, {})
    assert load_site_findings(settings).origin == str(settings.findings)
    for words in (("history",), ("export",), ("diff", "lge", 1, 2)):
        refused = findings(site, *words, right=False)
        assert "the ledger has no findings yet, the findings file is in use" in refused.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("retire", "nothing", *COMMENT), "the ledger has no finding nothing"),
        (("undo", "lge", *COMMENT), "lge has no earlier version to go back to"),
        (("diff", "lge", 1, 7), "lge has no version 7"),
        (("retire", "lge", "--comment", " "), "give 1 to 500 characters in one line"),
        (("retire", "lge"), "Missing option '--comment'"),
        (("activate", "lge", *COMMENT), "lge is active already"),
    ],
)
def test_a_change_that_is_not_possible_is_refused(
    site: Path, words: tuple[object, ...], said: str
) -> None:
    findings(site, "import", written(site, shipped(site)), *COMMENT)
    refused = findings(site, *words, right=False)
    assert said in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize(("old", "new"), [("id: lge", "id:lge"), ("lge_sa", "lge_sax")])
def test_a_refused_file_never_replaces_the_findings_in_use(site: Path, old: str, new: str) -> None:
    findings(site, "import", written(site, shipped(site)), *COMMENT)
    before = load_site_findings(load(site, {}))
    file = site.with_name("refused.yaml")
    good = load(site, {}).findings.read_text()
    file.write_text(good.replace(old, new))
    refused = findings(site, "import", file, *COMMENT, right=False)
    assert f"{file}, line " in refused.stderr
    assert "; write in line " in refused.stderr
    assert "Traceback" not in refused.stderr
    assert load_site_findings(load(site, {})) == before


def test_every_change_is_in_the_audit_trail(site: Path) -> None:
    findings(site, "import", written(site, shipped(site)), *COMMENT)
    findings(site, "retire", "lge", "--author", "anna", *COMMENT)
    with open_finding_editor(load(site, {})) as editor:
        assert len(editor.ledger.list_versions()) == 8
    spooled = b"".join(
        path.read_bytes() for path in (site.parent / "state").rglob("*") if path.is_file()
    )
    assert spooled.count(b'csd-code="110131"') == 8
    assert b'UserID="anna"' in spooled


def test_a_mistyped_folder_gets_no_ledger(tmp_path: Path) -> None:
    settings = load(configured(tmp_path, state_dir="nowhere"), {})
    with pytest.raises(NotFound), open_finding_editor(settings):
        pass
    assert not (tmp_path / "nowhere").exists()
