"""C-STORE command sets compared with the encoders and decoders of pynetdicom and pydicom."""

from io import BytesIO

from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.uid import UID, ExplicitVRLittleEndian
from pynetdicom.dsutils import create_file_meta, decode
from pynetdicom.dsutils import encode_file_meta as encode_with_pynetdicom

from receivers.c_store.command_set import (
    COMMAND_BYTES_MAX,
    StoreRequest,
    encode_file_meta,
    encode_response,
    is_command,
    read_request,
)
from tests.builders.command_sets import REQUEST, command

uids = st.from_regex(r"[1-9]\.[1-9][0-9]{0,20}(\.[1-9][0-9]{0,5}){0,5}", fullmatch=True)


def decoded(content: bytes) -> Dataset:
    return decode(BytesIO(content), is_implicit_vr=True, is_little_endian=True)


@given(st.integers(0, 65535), uids, uids)
def test_an_encoded_request_is_decoded(message_id: int, sop_class: str, instance: str) -> None:
    request = StoreRequest(message_id, sop_class, instance)
    assert read_request(command(request)) == request
    assert read_request(command(request, mover=True)) == request


@settings(max_examples=500, deadline=None)
@given(st.data())
def test_mutated_bytes_are_decoded_as_pydicom_does(data: st.DataObject) -> None:
    content = bytearray(command(REQUEST))
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.integers(len(content) - 30, len(content)))]
    request = read_request(bytes(content))
    if request is None:
        return
    read = decoded(bytes(content))
    assert (request.message_id, request.sop_class_uid, request.sop_instance_uid) == (
        read.MessageID,
        read.AffectedSOPClassUID,
        read.AffectedSOPInstanceUID,
    )


@settings(max_examples=500)
@given(st.binary(max_size=400))
def test_arbitrary_bytes_are_decoded_or_rejected(content: bytes) -> None:
    assert read_request(content) is None


def test_other_commands_are_not_decoded() -> None:
    echo = command(REQUEST).replace(b"\x00\x00\x00\x01\x02\x00\x00\x00\x01\x00", b"", 1)
    assert read_request(echo) is None
    assert is_command(command(REQUEST))
    assert not is_command(echo)
    assert read_request(command(REQUEST) + bytes(COMMAND_BYTES_MAX)) is None


@given(st.integers(0, 65535), uids, uids, st.integers(0, 65535))
def test_pydicom_decodes_a_response(
    message_id: int, sop_class: str, instance: str, status: int
) -> None:
    content = encode_response(StoreRequest(message_id, sop_class, instance), status)
    read = decoded(content)
    assert read.CommandGroupLength == len(content) - 12
    assert (read.CommandField, read.CommandDataSetType) == (0x8001, 0x0101)
    assert (read.MessageIDBeingRespondedTo, read.Status) == (message_id, status)
    assert (read.AffectedSOPClassUID, read.AffectedSOPInstanceUID) == (sop_class, instance)


@given(uids, uids)
def test_file_meta_information_equals_that_of_pynetdicom(sop_class: str, instance: str) -> None:
    meta = create_file_meta(
        sop_class_uid=UID(sop_class),
        sop_instance_uid=UID(instance),
        transfer_syntax=ExplicitVRLittleEndian,
    )
    expected = bytes(128) + b"DICM" + encode_with_pynetdicom(meta)
    assert (
        encode_file_meta(StoreRequest(1, sop_class, instance), ExplicitVRLittleEndian) == expected
    )
