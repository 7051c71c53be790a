"""The documents: each for its reader, and none that points to nothing."""

import re

import pytest

from tests.builders.source_text import ROOT

README_LINES_MOST = 120
DOCUMENTS = sorted(
    path.relative_to(ROOT)
    for folder in (".", "triage", "deploy", "export", "tests")
    for path in (ROOT / folder).glob("*.md" if folder == "." else "**/*.md")
)
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


def test_the_readme_is_short() -> None:
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= README_LINES_MOST


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_every_link_leads_to_a_file(document: object) -> None:
    path = ROOT / str(document)
    links = LINK.findall(path.read_text(encoding="utf-8"))
    local = [link for link in links if "://" not in link]
    assert [link for link in local if not (path.parent / link).exists()] == []


def test_the_guarantees_of_the_readme_name_their_proofs() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    section = text.partition("## Ten guarantees")[2].partition("\n## ")[0]
    guarantees = re.split(r"^\d+\. ", section, flags=re.MULTILINE)[1:]
    assert len(guarantees) == 10
    assert [text for text in guarantees if not re.search(r"\(tests/\S+\.py\)", text)] == []


def test_the_files_that_the_developer_page_names_exist() -> None:
    text = (ROOT / "triage" / "README.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:[a-z_0-9]+/)+[a-z_0-9]+\.(?:py|yaml))`", text)
    places = [ROOT, ROOT / "triage"]
    assert [name for name in named if not any((place / name).exists() for place in places)] == []
