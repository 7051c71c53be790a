"""The DICOM receiver: Storage SCP, Verification SCP, storage commitment and announcements.

scp                starts the listeners, answers C-STORE and C-ECHO
listener           the listening socket
associate_request  reads association requests as PS3.8 allows them
admission          admits or rejects association requests
guard              limits for PDUs and instances
fast_store         serves C-STORE without pynetdicom's message loop
command_set        C-STORE command sets as bytes
commitment_scp     answers N-ACTION and sends commitment reports
commitment_scu     accepts commitment reports of archives
announcements      Modality Performed Procedure Step, Instance Availability Notification
"""

from receivers.c_store.scp import CStoreScp, start
from receivers.receiver import ReceiverKind, ReceiverServices
from triage.config import ReceiverSettings

__all__ = ["RECEIVER", "CStoreScp", "start"]


def _start(services: ReceiverServices, settings: ReceiverSettings) -> CStoreScp:
    return start(
        services.intake,
        settings,
        services.commitment_scp,
        services.announcements,
        services.commitment_scu,
    )


RECEIVER = ReceiverKind("c_store", "receiver", _start)
