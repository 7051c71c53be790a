"""An archive that refuses one instance in ten, as a program: what it has taken it writes down.

python -m tests.acceptance.crashes.flaky_archive PORT FILE
"""

import random
import sys
from pathlib import Path

from pynetdicom import AE, AllStoragePresentationContexts, evt

from tests.waiting import HOST
from triage.dimse.association import CONNECTION_SETUP
from triage.dimse.statuses import StoreStatus

REFUSED = 0.1
AE_TITLE = "FLAKY"


def _store(event: evt.Event, taken: Path) -> int:
    if random.random() < REFUSED:
        return StoreStatus.OUT_OF_RESOURCES
    dataset = event.dataset
    with taken.open("a") as file:
        file.write(f"{dataset.StudyInstanceUID} {dataset.SOPInstanceUID}\n")
    return StoreStatus.SUCCESS


def main() -> None:
    port, taken = int(sys.argv[1]), Path(sys.argv[2])
    ae = AE(ae_title=AE_TITLE)
    ae.supported_contexts = AllStoragePresentationContexts
    ae.start_server(
        (HOST, port), evt_handlers=[(evt.EVT_C_STORE, _store, [taken]), CONNECTION_SETUP]
    )


if __name__ == "__main__":
    main()
