"""An association is decided about while its connection may go."""

import socket
from types import SimpleNamespace
from typing import Any, cast

import receivers.c_store
from receivers.admission import Admission
from triage.config import ReceiverSettings
from triage.pipeline.intake import Intake


def test_13_who_goes_while_being_let_in_is_no_defect() -> None:
    gone = socket.socket()
    gone.close()
    asked = SimpleNamespace(calling_ae_title="PACS", called_ae_title="CMRTRIAGE")
    association: Any = SimpleNamespace(
        requestor=SimpleNamespace(primitive=asked, address="127.0.0.1"),
        dul=SimpleNamespace(socket=SimpleNamespace(socket=gone)),
        is_rejected=False,
    )
    settings = ReceiverSettings(calling=("PACS",))
    nobody = cast(Intake, None)  # who is let in is not reported
    receivers.c_store._admit_or_reject(association, Admission(settings), nobody, settings)
    assert not association.is_rejected
