"""PixelMed's validator of structured reports, kept running: each start would compile its rules.

`validate` sends the path of a document to that process (`pixelmed_process`) and returns what the
validator prints.
"""

import atexit
import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import IO

from tests.peers import peer

JARS = ("pixelmed", "commons-codec", "hsqldb", "vecmath")
#: The validator reaches the limits of Java's XPath engine on any longer template.
UNLIMITED = (
    "-Djdk.xml.xpathExprGrpLimit=0",
    "-Djdk.xml.xpathExprOpLimit=0",
    "-Djdk.xml.xpathTotalOpLimit=0",
    "-Djdk.xml.entityExpansionLimit=0",
)
#: Faster than the default on two cores that are busy.
SERIAL = "-XX:+UseSerialGC"
PROCESS = "tests.integration.pixelmed_process"


def validate(document: Path) -> list[str]:
    """Return the lines that PixelMed prints on the templates of a document."""
    requests, answers = _start()
    requests.write(f"{document}\n")
    requests.flush()
    return [*json.loads(answers.readline())]


@cache
def _start() -> tuple[IO[str], IO[str]]:
    """Start the process; return its input and its output."""
    peer("java")
    jars = [peer(f"/usr/share/java/{jar}.jar") for jar in JARS]
    command = [sys.executable, "-m", PROCESS, SERIAL, *UNLIMITED, "--", *jars]
    running = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert running.stdin is not None
    assert running.stdout is not None

    def end() -> None:
        with running:
            running.kill()

    atexit.register(end)
    return running.stdin, running.stdout
