"""Accept storage commitment reports that an archive sends on an association of its own.

We are SCU of storage commitment there, and accept that the archive proposes to be SCP (PS3.7
D.3.3.4). `CommitmentScu` evaluates the reports.
"""

from pynetdicom import AE, evt
from pynetdicom.sop_class import StorageCommitmentPushModel  # type: ignore[attr-defined]

from triage.dimse.commitment_reports import answer_event_report
from triage.domain.instance import Source
from triage.pipeline.storage_commitment_scu import CommitmentScu


def add_commitment_scu(
    ae: AE, scu: CommitmentScu
) -> list[tuple[evt.EventType, object, list[CommitmentScu]]]:
    """Add the SOP class to an application entity; return the event handlers to bind."""
    ae.add_supported_context(StorageCommitmentPushModel, scu_role=True, scp_role=True)
    return [(evt.EVT_N_EVENT_REPORT, _answer_n_event_report, [scu])]


def _answer_n_event_report(event: evt.Event, scu: CommitmentScu) -> tuple[int, None]:
    requestor = event.assoc.requestor
    source = Source(str(requestor.ae_title).strip(), str(requestor.address))
    return answer_event_report(event, lambda report: scu.process_report(report, source))
