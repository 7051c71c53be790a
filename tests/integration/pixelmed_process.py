"""The process in which PixelMed's validator runs: Java within Python, with a deep stack for XSLT.

Its arguments are the options of Java, then `--`, then the JAR files.
"""

import json
import sys
import threading

import jpype

STACK_BYTES = 256 << 20


def answer() -> None:
    """Validate each document whose path arrives on the standard input."""
    options, _, jars = " ".join(sys.argv[1:]).partition(" -- ")
    jpype.startJVM(*options.split(), classpath=jars.split())
    validator = jpype.JClass("com.pixelmed.validate.DicomSRValidator")()
    validator.setOptionCheckContentItemOrder(True)
    for line in sys.stdin:
        print(json.dumps(str(validator.validate(line.rstrip("\n"))).splitlines()), flush=True)


if __name__ == "__main__":
    threading.stack_size(STACK_BYTES)
    thread = threading.Thread(target=answer)
    thread.start()
    thread.join()
