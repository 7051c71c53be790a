"""Validators of other projects, and the one finding of theirs that is accepted, with its reason."""

import re
import subprocess
from html.parser import HTMLParser
from pathlib import Path

from tests.integration.pixelmed import validate
from tests.peers import peer
from triage.reports import codes

#: CID 100 is extensible and has no code for cardiac MRI.
KNOWN_ERROR = '(241620005,SCT,"Cardiac MRI") not found in context group 100'
#: An item beyond the template, which TID 1500 and TID 1501 allow: its code and scheme.
ADDED = re.compile(r".*/\w+ \(([^,]+),(\w+),[^/]*: Content Item not in template")


def run_judge(*command: str | Path) -> str:
    """Return the output of a validator; raise if it fails."""
    done = subprocess.run(command, capture_output=True, check=True)
    return (done.stdout + done.stderr).decode()


def dciodvfy(document: Path) -> list[str]:
    """Return the lines that dciodvfy (dicom3tools) prints."""
    return run_judge(peer("dciodvfy"), "-new", document).splitlines()


def dsrdump(document: Path) -> str:
    """Return a document as DCMTK dumps it."""
    return run_judge(peer("dsrdump"), document)


def pixelmed(document: Path) -> list[str]:
    """Return the lines that PixelMed prints on the templates of a document."""
    lines = validate(document)
    assert "Root Template Validation Complete" in lines
    return lines


def lines_starting_with(lines: list[str], *prefixes: str) -> list[str]:
    """Return the lines that start with one of these prefixes."""
    return [line for line in lines if line.startswith(prefixes)]


def is_expected_warning(warning: str, questions: set[str]) -> bool:
    """Return whether a PixelMed warning concerns a private item, its content, or an answer."""
    added = ADDED.fullmatch(warning)
    if added is None:
        return False
    within = f"/CONTAINER ({codes.SIMILAR_CASE.value},{codes.SCHEME}," in warning
    return within or added[1] in questions or added[2] == codes.SCHEME


class VisibleText(HTMLParser):
    """Collects the visible text of an HTML page, one line per piece."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def handle_data(self, data: str) -> None:
        self.lines += [line.strip() for line in data.splitlines() if line.strip()]


def rendered_text(document: Path) -> str:
    """Return the visible text of a document as DCMTK renders it."""
    page = VisibleText()
    page.feed(run_judge(peer("dsr2html"), "--charset-require", document))
    return "\n".join(page.lines)
