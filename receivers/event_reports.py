"""Where archives tell, on associations of theirs, that they keep what we have sent.

Rule: we are SCU of storage commitment there, and accept that the archive proposes to be SCP
(PS3.7 D.3.3.4). What a report says is judged elsewhere.
"""

from pynetdicom import AE, evt
from pynetdicom.sop_class import StorageCommitmentPushModel  # type: ignore[attr-defined]

from triage.dimse.commitment_reports import answer_event_report
from triage.domain.instance import Source
from triage.pipeline.storage_commitment_scu import CommitmentScu


def add_event_report_handler(
    ae: AE, promises: CommitmentScu
) -> list[tuple[evt.EventType, object, list[CommitmentScu]]]:
    """Take reports; return the handlers that this needs."""
    ae.add_supported_context(StorageCommitmentPushModel, scu_role=True, scp_role=True)
    return [(evt.EVT_N_EVENT_REPORT, _answer, [promises])]


def _answer(event: evt.Event, promises: CommitmentScu) -> tuple[int, None]:
    requestor = event.assoc.requestor
    source = Source(str(requestor.ae_title).strip(), str(requestor.address))
    return answer_event_report(event, lambda report: promises.process_report(report, source))
