"""An archive that sends over C-MOVE (PS3.4 C.4.2) to a port that is open while a study is fetched.

Rule: the port is for that study alone. An association is let in when it calls us by the title of
`move_to` and itself by one that the archive has; an instance is kept when it is of the study, and,
where it says whose C-MOVE it comes from, of this one (PS3.7 9.1.1.1, Move Originator: our title,
but some archives write their own).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pynetdicom import AE, evt
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StudyRootQueryRetrieveInformationModelMove,
    Verification,
)

from triage.archives.dicom import PDU_BYTES, GetArchive, kept_on, of_study, told
from triage.config import DicomArchive, MoveTo
from triage.dimse.association import CONNECTION_SETUP
from triage.dimse.statuses import StoreStatus
from triage.dimse.storage_classes import list_storage_classes
from triage.dimse.transfer_syntaxes import STORAGE_SYNTAXES
from triage.domain.archive import ArchivedStudy, RetrieveResponse
from triage.domain.errors import ConfigurationError
from triage.ports.archive import StudyDownload

MESSAGE_ID = 1


class MoveArchive(GetArchive):
    """See `ports.Archive`."""

    def __init__(self, our_ae: str, settings: DicomArchive, move_to: MoveTo) -> None:
        super().__init__(our_ae, settings)
        self._senders = [settings.ae_title, *move_to.sends_as]
        self._move_to = move_to

    def fetch(self, study: ArchivedStudy, desk: StudyDownload) -> RetrieveResponse:
        """Have the study sent to a port of ours."""
        model = StudyRootQueryRetrieveInformationModelMove
        with self._listening(desk), self.associated([(model, [])]) as association:
            return told(
                association.send_c_move(
                    of_study(study), self._move_to.ae_title, model, msg_id=MESSAGE_ID
                )
            )

    @contextmanager
    def _listening(self, desk: StudyDownload) -> Iterator[None]:
        """Receive instances of a study until the block ends, and end the associations then."""
        ours = self._move_to
        ae = AE(ae_title=ours.ae_title)
        for sop_class in [*list_storage_classes(), Verification]:
            ae.add_supported_context(sop_class, STORAGE_SYNTAXES)
        ae.require_called_aet = True
        ae.require_calling_aet = self._senders
        ae.maximum_pdu_size = PDU_BYTES
        ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = self._settings.timeout_s
        handlers: Any = [CONNECTION_SETUP, (evt.EVT_C_STORE, self._kept, [desk])]
        try:
            server: Any = ae.start_server(
                (ours.host, ours.port), block=False, evt_handlers=handlers
            )
        except OSError as error:
            raise ConfigurationError(
                f"cannot listen on {ours.host}:{ours.port}: {error.strerror}; set host and port of "
                "move_to"
            ) from None
        try:
            yield
        finally:
            server.shutdown()
            for association in server.active_associations:
                association.abort()

    def _kept(self, event: evt.Event, desk: StudyDownload) -> int:
        request: Any = event.request
        title = str(request.MoveOriginatorApplicationEntityTitle or "").strip()
        ours = title in {"", self._calling, *self._senders}
        if not ours or request.MoveOriginatorMessageID not in {None, MESSAGE_ID}:
            return StoreStatus.DATA_SET_DOES_NOT_MATCH
        return kept_on(event, desk)
