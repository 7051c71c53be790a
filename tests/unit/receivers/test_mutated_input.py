"""Our decoders with mutated bytes: they agree with pydicom, or refuse with the expected error."""

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.uid import MRImageStorage

from receivers.c_store.command_set import is_command, read_request
from receivers.c_store.fast_store import PDV_HEADER, _ProtocolError, _split_pdvs
from tests.builders.bent import COMMAND, LAST, STORE, command, command_sets, lied, part10_files, pdv
from triage.dicom import fast_header as head
from triage.dicom.fast_header import read_file_identity
from triage.dicom.header import read_identity
from triage.domain.errors import DamagedInstance
from triage.domain.instance import Identity

PLAIN = command(0x0001, MRImageStorage, "1.2.3", 7, 0)
PDVS = pdv(COMMAND | LAST, PLAIN, STORE) + pdv(0, bytes(50), STORE) + pdv(LAST, b"", STORE)
FEW = settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@FEW
@given(command_sets(PLAIN) | lied(PLAIN) | st.binary(max_size=200))
def test_a_mutated_command_set_is_decoded_or_rejected(content: bytes) -> None:
    request = read_request(content)
    assert request is None or is_command(content)


@FEW
@given(lied(PDVS) | st.binary(max_size=100))
def test_presentation_data_values_fill_their_pdu_or_it_is_invalid(content: bytes) -> None:
    with suppress(_ProtocolError):
        pieces = list(_split_pdvs(memoryview(content)))
        assert sum(PDV_HEADER.size + len(piece.value) for piece in pieces) == len(content)


def judged(path: Path) -> Identity | None:
    try:
        return read_file_identity(path)
    except DamagedInstance:
        return None


def judged_whole(content: bytes) -> Identity | None:
    try:
        return read_identity(content)
    except DamagedInstance:
        return None


@FEW
@given(content=part10_files())
def test_a_mutated_file_is_identified_as_its_bytes_are(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "one"
    path.write_bytes(content)
    assert judged(path) == judged_whole(content)


@FEW
@given(content=part10_files())
def test_a_large_mutated_file_is_identified_or_refused(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "large"
    path.write_bytes(content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(head, "scan_header", lambda _: None)
        patch.setattr(head, "IN_MEMORY", 0)
        patch.setattr(head, "DEFERRED", 64)
        judged(path)


def test_an_empty_file_is_no_instance(tmp_path: Path) -> None:
    (tmp_path / "one").touch()
    assert judged(tmp_path / "one") is None
