"""Command sets of C-STORE as pynetdicom writes them."""

from io import BytesIO

from pydicom.uid import UID, MRImageStorage
from pynetdicom.dimse_messages import C_STORE_RQ
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.dsutils import encode

from receivers.c_store.command_set import StoreRequest

REQUEST = StoreRequest(7, MRImageStorage, "1.2.3")


def command(request: StoreRequest, *, mover: bool = False) -> bytes:
    """Return the command set as pynetdicom writes it."""
    primitive = C_STORE()
    primitive.MessageID = request.message_id
    primitive.AffectedSOPClassUID = UID(request.sop_class_uid)
    primitive.AffectedSOPInstanceUID = UID(request.sop_instance_uid)
    primitive.DataSet = BytesIO(b"\0\0")
    if mover:
        primitive.MoveOriginatorApplicationEntityTitle = "WORKSTATION"
        primitive.MoveOriginatorMessageID = 3
    message = C_STORE_RQ()
    message.primitive_to_message(primitive)
    return encode(message.command_set, is_implicit_vr=True, is_little_endian=True) or b""
