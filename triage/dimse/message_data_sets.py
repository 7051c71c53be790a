"""Check the data set of a normalised message (PS3.7 10) before pynetdicom builds it."""

from io import BytesIO
from typing import Any

from pynetdicom import evt

from triage.dicom.header import refuse_oversized_data_set

#: Fields of N-CREATE, N-SET, N-ACTION and N-EVENT-REPORT requests that contain a data set.
FIELDS = ("AttributeList", "ModificationList", "ActionInformation", "EventInformation")


def refuse_oversized_message(event: evt.Event) -> None:
    """Raise DamagedInstance if the data set of a request needs too much memory or is damaged."""
    request: Any = event.request
    for field in FIELDS:
        encoded: BytesIO | None = getattr(request, field, None)
        if encoded is not None:
            syntax = str(event.context.transfer_syntax)
            refuse_oversized_data_set(encoded.getvalue(), 0, syntax)
