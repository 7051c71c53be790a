"""A pynetdicom sender in a process of its own: files as they are, over one association.

Rule: it says the name of each file that was answered with Success, at once; it ends when all were
sent or the association breaks.
"""

import sys
from pathlib import Path

from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage
from pynetdicom import AE, _config

from tests.acceptance.site import CALLED, CALLING
from tests.integration.servers import HOST
from triage.dimse import AT_ONCE, Status

PDU_BYTES = 131_072


def send(port: int, paths: list[Path]) -> None:
    _config.STORE_SEND_CHUNKED_DATASET = True  # the file's bytes, not a data set read and written
    ae = AE(ae_title=CALLING)
    ae.add_requested_context(MRImageStorage, ExplicitVRLittleEndian)
    association = ae.associate(
        HOST, port, ae_title=CALLED, max_pdu=PDU_BYTES, evt_handlers=[AT_ONCE]
    )
    for path in paths:
        if not association.is_established:
            return
        answer: Dataset = association.send_c_store(path)
        if answer.get("Status") == Status.SUCCESS:
            sys.stdout.write(f"{path.name}\n")
            sys.stdout.flush()
    association.release()


if __name__ == "__main__":
    send(int(sys.argv[1]), sorted(Path(sys.argv[2]).iterdir()))
