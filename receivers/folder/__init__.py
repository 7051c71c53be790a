"""The receiver of a watched folder.

scanner   finds the files that are complete, and passes them to Intake
files     lists, opens, moves and deletes files without following links
journal   the files that were accepted, over restarts
"""

from receivers.folder.scanner import FolderReceiver, start
from receivers.receiver import ReceiverKind, ReceiverServices
from triage.config import WatchedFolder
from triage.dimse.storage_classes import AcceptedClasses

__all__ = ["RECEIVER", "FolderReceiver", "start"]


def _start(services: ReceiverServices, settings: WatchedFolder) -> FolderReceiver:
    receiver = services.settings.receiver
    return start(
        services.intake,
        settings,
        receiver.instance_bytes,
        services.settings.state_dir,
        AcceptedClasses.of(receiver),
    )


RECEIVER = ReceiverKind("folder", "receiver.folder", _start)
