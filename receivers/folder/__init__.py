"""The receiver of a watched folder.

scanner   finds the files that are complete, and passes them to Intake
files     lists, opens, moves and deletes files without following links
journal   the files that were accepted, over restarts
"""

from receivers.folder.scanner import FolderReceiver, start
from receivers.receiver import ReceiverKind, ReceiverServices
from triage.config import WatchedFolder

__all__ = ["RECEIVER", "FolderReceiver", "start"]


def _start(services: ReceiverServices, settings: WatchedFolder) -> FolderReceiver:
    instance_bytes = services.settings.receiver.instance_bytes
    return start(services.intake, settings, instance_bytes, services.settings.state_dir)


RECEIVER = ReceiverKind("folder", "receiver.folder", _start)
