"""A pynetdicom sender in a process of its own: files unchanged, one association for each folder.

Reads folders from its standard input, one a line. Prints the name of each file that was answered
with Success at once, and END after a folder, also where the association broke. It imports little,
because tests start many of them.
"""

import sys
from contextlib import suppress
from pathlib import Path

from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage
from pynetdicom import AE, _config

from triage.dimse.association import CONNECTION_SETUP
from triage.dimse.statuses import StoreStatus

PDU_BYTES = 131_072
PATIENCE_S = 10
END = "end of folder"


def send(ae: AE, host: str, port: int, called: str, folder: Path) -> None:
    association = ae.associate(
        host, port, ae_title=called, max_pdu=PDU_BYTES, evt_handlers=[CONNECTION_SETUP]
    )
    for path in sorted(folder.iterdir()):
        if not association.is_established:
            return
        answer: Dataset = association.send_c_store(path)
        if answer.get("Status") == StoreStatus.SUCCESS:
            _print(path.name)
    association.release()


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main(host: str, port: str, calling: str, called: str) -> None:
    _config.STORE_SEND_CHUNKED_DATASET = True  # the file's bytes, not a data set read and written
    ae = AE(ae_title=calling)
    ae.dimse_timeout = PATIENCE_S  # it does not always see that the other side was killed
    ae.add_requested_context(MRImageStorage, ExplicitVRLittleEndian)
    for line in sys.stdin:
        with suppress(RuntimeError):  # the association ended before the next request
            send(ae, host, int(port), called, Path(line.rstrip("\n")))
        _print(END)


if __name__ == "__main__":
    main(*sys.argv[1:])
