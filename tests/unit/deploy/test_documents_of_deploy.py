import re
from http import HTTPStatus
from pathlib import Path

import pytest
from pydicom.uid import (
    UID,
    Comprehensive3DSRStorage,
    DeflatedExplicitVRLittleEndian,
    EnhancedMRImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    MRImageStorage,
    RLELossless,
)
from pynetdicom import AE, DEFAULT_TRANSFER_SYNTAXES
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    InstanceAvailabilityNotification,
    ModalityPerformedProcedureStep,
    StorageCommitmentPushModel,
    StorageCommitmentPushModelInstance,
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
    Verification,
)

import receivers.stow
from receivers.c_store.announcements import MAY_NOT_BE_CHANGED
from receivers.c_store.commitment_scp import DELAY_S
from receivers.c_store.listener import (
    EXTRA_CONNECTIONS,
    SILENT_CONNECTIONS_MAX,
    SILENT_OF_ONE_PEER,
)
from receivers.stow.answer import JSON, XML, StowFailureReason
from receivers.stow.app import CHUNK_BYTES
from receivers.stow.server import ADMITTED_MAX, WAITING_MAX, WAITING_OF_ONE_PEER
from receivers.stow.storing import DICOM, PARTS_MAX
from tests.builders.audit_events import EVENTS
from tests.builders.delivery_answers import TABLES, render_answers
from tests.builders.products import DICOM_REPORTS
from tests.builders.report_codes import OURS
from tests.unit.deploy.files import DEPLOY, between, table, text
from triage import __version__
from triage.archives.contexts import (
    COMPRESSED,
    CONTEXTS_MAX,
    UNCOMPRESSED,
    list_usual_classes,
    propose_contexts,
)
from triage.archives.dicomweb import AS_STORED, LATER, PAGE
from triage.audit.message import FACILITY, MSGID
from triage.audit.sender import BATCH, UNCONFIRMED_MOST
from triage.cli.token import TOKEN_BYTES
from triage.config import (
    DicomwebArchiveSettings,
    MoveToSettings,
    ReceiverSettings,
    StowSettings,
    TlsSettings,
    load,
)
from triage.destinations.dicom_store import SYNTAXES as OFFERED
from triage.destinations.dicom_store import DicomDestinationSettings
from triage.destinations.storage_commitment import AT_ONCE_S
from triage.destinations.stow import EMPTY_SEARCH
from triage.dicom.multipart_related import BOUNDARY_MAX, HEADERS_MAX
from triage.dimse.association import TLS12_CIPHER_SUITES
from triage.dimse.statuses import (
    ActionStatus,
    EventReportStatus,
    ProcedureStepStatus,
    StoreStatus,
    describe_status,
)
from triage.dimse.storage_classes import PRIVATE_CLASSES
from triage.dimse.transfer_syntaxes import PREFERRED
from triage.domain.commitment import FailureReason
from triage.domain.delivery import (
    LONGEST_WAIT_S,
    UNCLEAR_ATTEMPTS_MAX,
    UNCLEAR_PAUSE_S,
    backoff_s,
)
from triage.domain.study import draw_diagram
from triage.pipeline.retrieve import STUDY_TRIES
from triage.reports import codes, key_images
from triage.reports.structured_report import DISCLAIMER, OLDER, SERIES_NUMBER
from triage.web.access import SESSION_S

STATEMENT = "CONFORMANCE.md"
#: What pynetdicom answers where our handler ends with an error.
DEFECT = "0xC211"
RECEIVER = ReceiverSettings()
DICOM_FIELDS = DicomDestinationSettings.model_fields
ARCHIVE_MODELS = (
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
)


def prose(name: str) -> str:
    return " ".join(text(name).split())


def test_the_state_machine_is_the_one_that_runs() -> None:
    assert between(STATEMENT, "states") == f"```mermaid\n{draw_diagram()}\n```"


def test_the_private_codes_are_those_that_are_written() -> None:
    rows = table(STATEMENT, "private codes")
    assert len(rows) == len(OURS)
    assert {tuple(row) for row in rows} == {(code.value, code.meaning) for code in OURS}


def test_the_private_storage_classes_are_those_that_are_taken() -> None:
    assert dict(table(STATEMENT, "private classes")) == PRIVATE_CLASSES


def test_the_cipher_suites_are_those_that_are_offered() -> None:
    assert [suite for (suite,) in table(STATEMENT, "suites")] == [*TLS12_CIPHER_SUITES]


def test_the_answers_are_those_that_are_given() -> None:
    rows = {status: meaning for status, meaning, *_ in table(STATEMENT, "answers")}
    del rows[DEFECT]
    assert [f"{status} {meaning}" for status, meaning in rows.items()] == [
        describe_status(status) for status in sorted(StoreStatus)
    ]


def test_the_answers_to_who_asks_for_commitment() -> None:
    actions = [status for status, _ in table(STATEMENT, "actions")]
    assert actions == [f"0x{status:04X}" for status in sorted(ActionStatus)]
    reasons = [reason for reason, _ in table(STATEMENT, "failure reasons")]
    assert reasons == [f"0x{reason:04X}" for reason in sorted(FailureReason)]


def test_the_answers_to_who_reports_commitment() -> None:
    told = [status for status, _ in table(STATEMENT, "reports")]
    assert told == [f"0x{status:04X}" for status in sorted(EventReportStatus)]


def test_the_answers_to_who_announces() -> None:
    steps = [status for status, _ in table(STATEMENT, "steps")]
    assert steps == [f"0x{status:04X}" for status in sorted(ProcedureStepStatus)]


def test_the_answers_of_stow() -> None:
    used = {
        str(int(HTTPStatus[name]))
        for module in Path(receivers.stow.__path__[0]).glob("*.py")
        for name in re.findall(r"HTTPStatus\.([A-Z_]+)\b", module.read_text())
    }
    defect = "500"  # what uvicorn answers where our application ends with an error
    assert [code for code, *_ in table(STATEMENT, "store statuses")] == sorted({*used, defect})
    reasons = [reason for reason, _ in table(STATEMENT, "store reasons")]
    assert reasons == [f"0x{reason:04X}" for reason in sorted(StowFailureReason)]


@pytest.mark.parametrize("kind", TABLES)
def test_the_statement_says_what_becomes_of_a_delivery_after_each_answer(kind: str) -> None:
    # tests/integration/test_delivery_answers.py holds the tables to the code.
    assert between(STATEMENT, f"{kind} answers") == render_answers(kind), (
        "run python -m tests.builders.destination_documents"
    )


def test_the_statement_says_how_often_an_unclear_message_is_sent() -> None:
    attempts = range(1, UNCLEAR_ATTEMPTS_MAX)
    pauses = [f"{backoff_s(attempt, UNCLEAR_PAUSE_S):g}" for attempt in attempts]
    said = f"{UNCLEAR_ATTEMPTS_MAX} times at most, with pauses of {', '.join(pauses[:-1])} and"
    assert f"{said} {pauses[-1]} seconds" in prose(STATEMENT)
    assert f"is kept up to {LONGEST_WAIT_S:g} seconds" in prose(STATEMENT)


def test_what_is_asked_of_archives() -> None:
    assert table(STATEMENT, "fetching") == [[uid.name, str(uid)] for uid in ARCHIVE_MODELS]
    syntaxes = [name for (name,) in table(STATEMENT, "fetched as stored")]
    assert syntaxes == [uid.name for uid in COMPRESSED]


def test_no_more_contexts_are_proposed_than_there_are() -> None:
    few, many = (
        propose_contexts([MRImageStorage]),
        propose_contexts([f"1.2.{number}" for number in range(500)]),
    )
    assert max(len(few), len(many)) + 1 <= CONTEXTS_MAX
    syntaxes = [one for uid, syntaxes in few for one in syntaxes if uid == MRImageStorage]
    assert syntaxes == [*UNCOMPRESSED, *COMPRESSED]
    assert {uid for uid, _ in few} == {*list_usual_classes()}


@pytest.mark.parametrize(
    "claim",
    [
        f"and for {len(list_usual_classes())} more that a cardiac MR study may hold",
        f"at most {CONTEXTS_MAX} presentation contexts",
        f"`move_to` ({MoveToSettings().ae_title}, {MoveToSettings().host}:{MoveToSettings().port})",
        f"the keys of C-FIND, {PAGE} at a time",
        f"as `{AS_STORED}`",
        f"{', '.join(map(str, sorted(LATER)[:-1]))} and {max(LATER)} are waited for",
        f"that breaks is tried {STUDY_TRIES} times",
        f"`attempts` ({DicomwebArchiveSettings.model_fields['attempts'].default}) times",
        f"# DICOM conformance statement: CMR triage worker {__version__}",
        f"`receiver.pdu_bytes` ({RECEIVER.pdu_bytes}) | {AE().maximum_pdu_size} bytes |",
        f"`receiver.associations` ({RECEIVER.associations}), a further one is rejected |",
        f"{SILENT_CONNECTIONS_MAX} silent ones are held at each port, {SILENT_OF_ONE_PEER} of",
        f"{EXTRA_CONNECTIONS} connections more than `receiver.associations` are heard",
        f"| Association idle | ended after `receiver.idle_s` ({RECEIVER.idle_s:g} s) |",
        f"| ARTIM time-out | `receiver.artim_s` ({RECEIVER.artim_s:g} s) |",
        f"(none, else {TlsSettings.model_fields['port'].default})",
        f"`receiver.free_bytes` ({RECEIVER.free_bytes / 1e9:g} GB) free",
        f"`receiver.waiting_studies` ({RECEIVER.waiting_studies}) wait",
        f"Verification ({Verification})",
        f"MR Image Storage ({MRImageStorage})",
        f"Enhanced MR Image Storage ({EnhancedMRImageStorage})",
        f"`receiver.stow.port` ({StowSettings.model_fields['port'].default})",
        f"`receiver.stow.requests` ({StowSettings.model_fields['requests'].default})",
        f"| Parts of a request | {PARTS_MAX} |",
        f"| {BOUNDARY_MAX} characters, {HEADERS_MAX} bytes |",
        f"| Connections | {WAITING_MAX} of senders that are not admitted, {WAITING_OF_ONE_PEER} of",
        f"{ADMITTED_MAX} of senders that are;",
        f"| {CHUNK_BYTES} bytes, or the end, must come within `receiver.idle_s` |",
        f"| Accept | {JSON} (default), {XML} |",
        f'multipart/related; type="{DICOM}"; one PS3.10 file',
        f"which has {8 * TOKEN_BYTES} bits of chance",
        f"{Comprehensive3DSRStorage} | {', '.join(syntax.name for syntax in OFFERED)} |",
        f"`receiver.quiet_s` ({load(None, {}).receiver.quiet_s:g} s)",
        f"`worker.max_delivery_attempts` ({load(None, {}).worker.max_delivery_attempts}) times",
        f"Storage Commitment Push Model ({StorageCommitmentPushModel})",
        f"well-known instance {StorageCommitmentPushModelInstance} and Action Type",
        f"goes out {DELAY_S:g} s later on the same association",
        f"for the study {EMPTY_SEARCH.partition('=')[2].partition('&')[0]}, which does not exist",
        f"which is open for {AT_ONCE_S:g} s more",
        f"within `commitment_within_s` ({DICOM_FIELDS['commitment_within_s'].default:g} s)",
        f"Modality Performed Procedure Step ({ModalityPerformedProcedureStep}, PS3.4 F.7",
        f"Instance Availability Notification ({InstanceAvailabilityNotification}, PS3.4 R",
        f"(Error ID 0x{MAY_NOT_BE_CHANGED:04X})",
        f"FIND ({StudyRootQueryRetrieveInformationModelFind})",
        f"when nothing arrived for {load(None, {}).receiver.complete.settle_s:g} s and",
        f"{load(None, {}).receiver.complete.at_most_s:g} s after its first instance",
        f"| `receiver.ae_title` | {load(None, {}).receiver.ae_title} |",
        f"{load(None, {}).receiver.host}, {load(None, {}).receiver.port}",
        f"Coding Scheme Designator {codes.SCHEME}",
        f"SR, {SERIES_NUMBER}, AI triage (RESEARCH USE ONLY)",
        f"KO, series {key_images.SERIES_NUMBER}.",
        *(f"{uid.name}, in place of" for uid in OLDER),
        f'COMPLETE, "{DISCLAIMER}"',
        f"Code Value (`lv_dilation`: {codes._private_value('lv_dilation')})",
    ],
)
def test_what_the_statement_claims_is_what_the_code_says(claim: str) -> None:
    assert claim in prose(STATEMENT)


def test_the_transfer_syntaxes_stand_in_the_order_in_which_they_are_taken() -> None:
    names = ", ".join(UID(uid).name for uid in DEFAULT_TRANSFER_SYNTAXES)
    assert f"{names}. Storage:" in prose(STATEMENT)
    assert [
        ExplicitVRLittleEndian,
        ImplicitVRLittleEndian,
        JPEGLSLossless,
        JPEG2000Lossless,
        JPEGLosslessSV1,
        JPEGLossless,
        RLELossless,
        DeflatedExplicitVRLittleEndian,
        ExplicitVRBigEndian,
    ] == PREFERRED
    taken = (
        "Explicit VR Little Endian, Implicit VR Little Endian, JPEG-LS Lossless, JPEG 2000 "
        "Lossless, JPEG Lossless SV1, JPEG Lossless, RLE, Deflated, Explicit VR Big Endian; then"
    )
    assert taken in prose(STATEMENT)


def test_the_statement_knows_every_report() -> None:
    # Another report needs its SOP class in 2.3 and a section of its own.
    assert list(DICOM_REPORTS) == ["structured_report", "key_images", "pdf", "secondary_capture"]


def test_the_readme_names_every_file() -> None:
    files = {path.name for path in DEPLOY.iterdir() if path.is_file()} - {"README.md"}
    assert files <= set(re.findall(r"`([\w.]+)`", text("README.md")))


@pytest.mark.parametrize(
    "name",
    [
        "README.md",
        STATEMENT,
        "triage.yaml",
        "triage.service",
        "Containerfile",
        "compose.yaml",
        "compose.triage.yaml",
        "orthanc.json",
    ],
)
def test_every_file_says_what_it_is_for(name: str) -> None:
    assert "research use only" in prose(name).lower()


def test_the_audit_messages_are_those_that_are_told() -> None:
    told: dict[tuple[str, str], set[str]] = {}
    for event in EVENTS.values():
        kinds = told.setdefault((event.event.value, event.event.meaning), set())
        kinds |= {event.type.meaning} if event.type else set()
    rows = {
        (code, message): set(filter(None, types.split(", ")))
        for code, message, types, _ in table(STATEMENT, "audit")
    }
    assert rows == told
    stated = prose(STATEMENT)
    assert f"MSGID `{MSGID}`, facility {FACILITY})" in stated
    assert f"a batch of up to {BATCH} goes" in stated
    assert SESSION_S == 1800
    assert UNCONFIRMED_MOST == 3
