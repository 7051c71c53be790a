"""A listener that is killed at a point of a report's way: python -m ... STATE PORT POINT."""

import os
import signal
import sys
import threading
from pathlib import Path

from tests.integration.hl7_receiver.listening_hl7 import listening_hl7
from triage.crash_points import Moment, ReportPoint, watch


def main() -> None:
    state, port, name = sys.argv[1:]
    point = ReportPoint[name]

    def kill(moment: Moment) -> None:
        if moment is point:
            os.kill(os.getpid(), signal.SIGKILL)

    watch(kill)
    with listening_hl7(Path(state), int(port)):
        print("listening", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
