"""An archive that sends with C-MOVE (PS3.4 C.4.2) to a port that is open while a study is fetched.

The port accepts this study only. An association is accepted if its called AE title is that of
`move_to` and its calling AE title is one of the archive's. An instance is stored if it belongs to
the study and its Move Originator, if present, is this C-MOVE (PS3.7 9.1.1.1). The originator should
be our AE title, but some archives send their own.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pynetdicom import AE, evt
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StudyRootQueryRetrieveInformationModelMove,
    Verification,
)

from triage.archives.dicom import (
    PDU_BYTES,
    GetArchive,
    judge_responses,
    retrieve_identifier,
    store_in_download,
)
from triage.config import DicomArchiveSettings, MoveToSettings
from triage.dimse.association import CONNECTION_SETUP
from triage.dimse.statuses import StoreStatus
from triage.dimse.storage_classes import AcceptedClasses
from triage.dimse.transfer_syntaxes import STORAGE_SYNTAXES
from triage.dimse.unlisted_classes import SERVE_UNLISTED
from triage.domain.archive import ArchivedStudy, RetrieveResponse
from triage.domain.errors import ConfigurationError
from triage.ports.archive import StudyDownload

MESSAGE_ID = 1  #: Message ID of the C-MOVE request


class MoveArchive(GetArchive):
    """An archive that sends with C-MOVE; implements `Archive`."""

    def __init__(
        self,
        our_ae: str,
        settings: DicomArchiveSettings,
        classes: AcceptedClasses,
        move_to: MoveToSettings,
    ) -> None:
        super().__init__(our_ae, settings, classes)
        self._senders = [settings.ae_title, *move_to.sends_as]
        self._move_to = move_to

    def fetch(self, study: ArchivedStudy, download: StudyDownload) -> RetrieveResponse:
        """Receive the study on a port that is open meanwhile."""
        model = StudyRootQueryRetrieveInformationModelMove
        with self._listening(download), self.associated([(model, [])]) as association:
            return judge_responses(
                association.send_c_move(
                    retrieve_identifier(study), self._move_to.ae_title, model, msg_id=MESSAGE_ID
                )
            )

    @contextmanager
    def _listening(self, download: StudyDownload) -> Iterator[None]:
        """Receive instances until the block ends; then abort open associations."""
        ours = self._move_to
        ae = AE(ae_title=ours.ae_title)
        for sop_class in [*self._classes, Verification]:
            ae.add_supported_context(sop_class, STORAGE_SYNTAXES)
        ae.require_called_aet = True
        ae.require_calling_aet = self._senders
        ae.maximum_pdu_size = PDU_BYTES
        ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = self._settings.timeout_s
        handlers: Any = [
            CONNECTION_SETUP,
            SERVE_UNLISTED,
            (evt.EVT_C_STORE, self._store, [download]),
        ]
        try:
            server: Any = ae.start_server(
                (ours.host, ours.port), block=False, evt_handlers=handlers
            )
        except OSError as error:
            raise ConfigurationError(
                f"cannot listen on {ours.host}:{ours.port}: {error.strerror}; change host or port "
                "of move_to"
            ) from None
        try:
            yield
        finally:
            server.shutdown()
            for association in server.active_associations:
                association.abort()

    def _store(self, event: evt.Event, download: StudyDownload) -> int:
        request: Any = event.request
        title = str(request.MoveOriginatorApplicationEntityTitle or "").strip()
        ours = title in {"", self._calling, *self._senders}
        if not ours or request.MoveOriginatorMessageID not in {None, MESSAGE_ID}:
            return StoreStatus.DATA_SET_DOES_NOT_MATCH
        return store_in_download(event, download)
