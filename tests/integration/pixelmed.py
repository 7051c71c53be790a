"""PixelMed's validator of structured reports, kept running: each start would compile its rules.

`validate` sends the path of a document to a process of this module and returns what the validator
prints. That process runs Java within Python, on a thread with the deep stack that XSLT needs.
"""

import atexit
import json
import subprocess
import sys
import threading
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
STACK_BYTES = 256 << 20


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
    command = [sys.executable, "-m", __name__, *jars]
    running = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert running.stdin is not None
    assert running.stdout is not None

    def end() -> None:
        with running:
            running.kill()

    atexit.register(end)
    return running.stdin, running.stdout


def _answer(jars: list[str]) -> None:
    """Validate each document whose path arrives on the standard input."""
    import jpype  # noqa: PLC0415 - starts no Java in the processes of the tests

    jpype.startJVM("-XX:+UseSerialGC", *UNLIMITED, classpath=jars)
    validator = jpype.JClass("com.pixelmed.validate.DicomSRValidator")()
    validator.setOptionCheckContentItemOrder(True)
    for line in sys.stdin:
        print(json.dumps(str(validator.validate(line.rstrip("\n"))).splitlines()), flush=True)


if __name__ == "__main__":
    threading.stack_size(STACK_BYTES)
    thread = threading.Thread(target=_answer, args=(sys.argv[1:],))
    thread.start()
    thread.join()
