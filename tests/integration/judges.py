"""Foreign programs that judge a document, and what is to be borne of what they say.

Rule: an error that is borne stands here, with the reason; no other one is.
"""

import re
import subprocess
from html.parser import HTMLParser
from pathlib import Path

from tests.peers import peer
from triage.reports import codes

JARS = ("pixelmed", "commons-codec", "hsqldb", "vecmath")
#: The validator reaches the limits of Java's XPath engine on any longer template.
UNLIMITED = [
    "-Xss256m",
    "-Djdk.xml.xpathExprGrpLimit=0",
    "-Djdk.xml.xpathExprOpLimit=0",
    "-Djdk.xml.xpathTotalOpLimit=0",
    "-Djdk.xml.entityExpansionLimit=0",
]
#: CID 100 is extensible, and holds no code for an MRI of the heart.
BORNE = '(241620005,SCT,"Cardiac MRI") not found in context group 100'
#: An item beyond the template, which TID 1500 and TID 1501 allow: its code and scheme.
ADDED = re.compile(r".*/\w+ \(([^,]+),(\w+),[^/]*: Content Item not in template")


def judged(*command: str | Path) -> str:
    """Return all that a program says of a document; one that fails is an error."""
    done = subprocess.run(command, capture_output=True, check=True)
    return (done.stdout + done.stderr).decode()


def dciodvfy(document: Path) -> list[str]:
    """Return what dicom3tools says of a document, by line."""
    return judged(peer("dciodvfy"), "-new", document).splitlines()


def dsrdump(document: Path) -> str:
    """Return a document as DCMTK reads it."""
    return judged(peer("dsrdump"), document)


def pixelmed(document: Path) -> list[str]:
    """Return what PixelMed says of a document's templates, by line."""
    java = peer("java")
    jars = ":".join(peer(f"/usr/share/java/{jar}.jar") for jar in JARS)
    validator = "com.pixelmed.validate.DicomSRValidator"
    said = judged(java, *UNLIMITED, "-cp", jars, validator, document).splitlines()
    assert "Root Template Validation Complete" in said
    return said


def starting(said: list[str], *words: str) -> list[str]:
    """Return the lines that start with one of several words."""
    return [line for line in said if line.startswith(words)]


def is_ours(warning: str, questions: set[str]) -> bool:
    """Tell whether PixelMed warns of what we add: a private item, what it holds, or an answer."""
    added = ADDED.fullmatch(warning)
    if added is None:
        return False
    within = f"/CONTAINER ({codes.SIMILAR_CASE.value},{codes.SCHEME}," in warning
    return within or added[1] in questions or added[2] == codes.SCHEME


class Text(HTMLParser):
    """The visible text of a page, one line per piece."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def handle_data(self, data: str) -> None:
        self.lines += [line.strip() for line in data.splitlines() if line.strip()]


def rendered(document: Path) -> str:
    """Return what a radiologist reads of a document in DCMTK's rendering."""
    page = Text()
    page.feed(judged(peer("dsr2html"), "--charset-require", document))
    return "\n".join(page.lines)
