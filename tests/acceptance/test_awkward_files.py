"""The awkward real files, and pydicom's own, over a real association: each has an answer."""

from contextlib import closing
from pathlib import Path

import pydicom.data
import pytest
from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError
from pydicom.uid import UID
from pynetdicom import AE, _config

from tests.acceptance.floods import Flooded, flooded
from tests.acceptance.fuzzing import errors_in
from tests.acceptance.site import CALLED, CALLING
from tests.peers import real_data
from tests.waiting import HOST
from triage.dicom.header import strip_file_meta
from triage.dimse.association import CONNECTION_SETUP
from triage.dimse.statuses import StoreStatus
from triage.runtime.clock import SystemClock
from triage.store.ledger import SqlLedger

ANSWERS = {StoreStatus.SUCCESS, StoreStatus.CANNOT_UNDERSTAND, StoreStatus.DATA_SET_DOES_NOT_MATCH}
DAMAGED = (InvalidDicomError, AttributeError, ValueError, NotImplementedError, OSError, EOFError)


def awkward_files() -> list[Path]:
    folders = (real_data("awkward_upstream"), real_data("derived_variants"))
    ours = [path for folder in folders for path in sorted(folder.rglob("*.dcm"))]
    bundled = Path(pydicom.data.__file__).parent / "test_files"
    return ours + sorted(bundled.glob("*.dcm"))


def sent(receiver: Flooded, path: Path) -> int | None:
    """Send a file as its bytes are; return the status, None where a sender could not send it."""
    try:
        meta: Dataset = dcmread(path, stop_before_pixels=True).file_meta
        offered = UID(meta.MediaStorageSOPClassUID), UID(meta.TransferSyntaxUID)
    except DAMAGED:
        return None
    ae = AE(ae_title=CALLING)
    try:
        ae.add_requested_context(*offered)
    except ValueError:
        return None
    association = ae.associate(
        HOST, receiver.port, ae_title=CALLED, evt_handlers=[CONNECTION_SETUP]
    )
    try:
        if not association.accepted_contexts:
            return None
        return int(association.send_c_store(path).Status)
    except DAMAGED:
        return None
    finally:
        association.release()


@pytest.mark.parametrize("fast", [pytest.param(True, id="fast"), pytest.param(False, id="plain")])
def test_each_awkward_file_is_kept_unchanged_or_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, fast: bool
) -> None:
    monkeypatch.setattr(_config, "STORE_SEND_CHUNKED_DATASET", True)
    with flooded(tmp_path, fast=fast) as receiver:
        answers = {path: sent(receiver, path) for path in awkward_files()}
        spool = receiver.state / "spool"
        kept = {strip_file_meta(path.read_bytes()) for path in spool.glob("[0-9]*/*")}
        with closing(SqlLedger.in_folder(receiver.state, SystemClock())) as ledger:
            paths = ledger.list_known_paths()
    said = [answer for answer in answers.values() if answer is not None]
    assert set(said) <= ANSWERS
    assert said.count(StoreStatus.SUCCESS) > 30
    stored = [path for path, answer in answers.items() if answer == StoreStatus.SUCCESS]
    lost = [path.name for path in stored if strip_file_meta(path.read_bytes()) not in kept]
    assert not lost
    assert {str(path.relative_to(spool)) for path in spool.glob("[0-9]*/*.dcm")} == paths
    assert not errors_in(receiver.log())
