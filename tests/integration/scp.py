"""A Storage SCP that listens, and DCMTK and pynetdicom as its senders."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from pydicom import Dataset
from pydicom.uid import MRImageStorage
from pynetdicom import AE
from pynetdicom.association import Association

from tests.peers import peer
from tests.waiting import HOST
from triage.pipeline.open_associations import OpenAssociations
from triage.store.ledger import SqlLedger


@dataclass(frozen=True)
class ListeningScp:
    """A receiver with its ledger and spool."""

    port: int
    ledger: SqlLedger
    state: Path
    associations: OpenAssociations

    def kept(self) -> set[bytes]:
        return {path.read_bytes() for path in (self.state / "spool").rglob("*.dcm")}


def dcmtk(
    program: str, port: int, *arguments: str, calling: str = "PACS", called: str = "CMRTRIAGE"
) -> subprocess.CompletedProcess[str]:
    command = [peer(program), "-v", "-aet", calling, "-aec", called, HOST, str(port), *arguments]
    environment = {**os.environ, "TCP_NODELAY": "1"}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def associated(port: int, *sop_classes: str) -> Association:
    ae = AE(ae_title="PACS")
    for sop_class in sop_classes or (MRImageStorage,):
        ae.add_requested_context(sop_class)
    association = ae.associate(HOST, port, ae_title="CMRTRIAGE")
    assert association.is_established
    return association


def stored(port: int, *datasets: Dataset) -> list[int]:
    """Return the status of each C-STORE on one association."""
    association = associated(port)
    statuses = [association.send_c_store(each).Status for each in datasets]
    association.release()
    return statuses
