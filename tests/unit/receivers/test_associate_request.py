"""A request is written again in the form that pynetdicom decodes, or refused with its fault."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, MRImageStorage
from pynetdicom.pdu import A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    ImplementationVersionNameNotification,
    SCP_SCU_RoleSelectionNegotiation,
)
from pynetdicom.presentation import build_context, negotiate_as_acceptor

from receivers.c_store.associate_request import (
    ABORT,
    NO_SYNTAX,
    REJECT_VERSION,
    RefusedRequest,
    RequestFault,
    normalize_request,
)
from tests.builders.associate_requests import CONTEXTS, USER, associate_rq, context, item
from tests.builders.bent import PLAIN_RQ, lied
from triage.dimse.storage_classes import list_storage_classes

#: What a receiver supports, for the negotiation.
SUPPORTED = [build_context(uid) for uid in list_storage_classes()]
ROLE = struct.pack(">H", len(MRImageStorage)) + MRImageStorage.encode()


def normalize(request: bytes) -> A_ASSOCIATE_RQ:
    """Return a request as pynetdicom decodes it after it was normalised."""
    content = normalize_request(request[6:])
    decoded = A_ASSOCIATE_RQ()
    decoded.decode(struct.pack(">BxL", 1, len(content)) + content)
    return decoded


def negotiate(request: bytes) -> tuple[A_ASSOCIATE, dict[int, int]]:
    """Return the request's primitive and the result of each context."""
    primitive = normalize(request).to_primitive()
    roles = {
        each.sop_class_uid: (each.scu_role, each.scp_role)
        for each in primitive.user_information
        if isinstance(each, SCP_SCU_RoleSelectionNegotiation) and each.sop_class_uid is not None
    }
    proposed = primitive.presentation_context_definition_list
    results, _ = negotiate_as_acceptor(proposed, SUPPORTED, roles)
    return primitive, {int(each.context_id or 0): int(each.result or 0) for each in results}


def find_fault(request: bytes) -> RequestFault:
    with pytest.raises(RefusedRequest) as refused:
        normalize_request(request[6:])
    return refused.value.fault


def test_a_usual_request_keeps_its_bytes() -> None:
    assert normalize_request(associate_rq()[6:]) == associate_rq()[6:]


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        (b"PACS".ljust(16), "PACS"),
        (b"PACS".ljust(16, b"\0"), "PACS"),
        (b"PACS\0".ljust(16), "PACS"),
        (b"PACS\0left over\0\0", "PACS"),
        (b"  PACS".ljust(16), "PACS"),
        (b"\0\0PACS".ljust(16, b"\0"), "PACS"),
        (b"MR 1".ljust(16, b"\0"), "MR 1"),
        (b"SIXTEEN_LETTERS_", "SIXTEEN_LETTERS_"),
        (b"P\xc4CS\\\x1b".ljust(16), "P?CS??"),
        (bytes(16), "?"),
        (b" " * 16, "?"),
    ],
)
def test_titles_end_at_their_padding(title: bytes, expected: str) -> None:
    decoded = normalize(associate_rq(called=title, calling=title))
    assert decoded.called_ae_title.strip() == decoded.calling_ae_title.strip() == expected


@pytest.mark.parametrize("version", [1, 3, 0xFFFF])
def test_only_the_first_bit_of_the_protocol_version_is_tested(version: int) -> None:
    assert normalize(associate_rq(version=version)).protocol_version == 1


def test_a_request_without_the_first_version_is_rejected() -> None:
    fault = find_fault(associate_rq(version=2))
    assert (fault, fault.answer) == (RequestFault.VERSION, REJECT_VERSION)


@pytest.mark.parametrize(
    ("bent", "result"),
    [
        (context(1, MRImageStorage), 4),
        (context(1, MRImageStorage, "not a UID"), 4),
        (context(1, "not a UID", ImplicitVRLittleEndian), 3),
        (item(0x20, b"\x01\0\0\0" + item(0x40, ImplicitVRLittleEndian.encode())), 3),
        (item(0x20, b"\x01\0\0\0" + 2 * item(0x30, MRImageStorage.encode())), 3),
        (item(0x20, b"\x01"), 3),
        (context(1, MRImageStorage, ImplicitVRLittleEndian + "\0"), 0),
        (context(1, MRImageStorage + " ", "", ImplicitVRLittleEndian), 0),
    ],
    ids=["none", "no-uid", "no-class", "class-missing", "two-classes", "empty", "nul", "space"],
)
def test_an_incomplete_context_is_refused_alone(bent: bytes, result: int) -> None:
    good = context(3, MRImageStorage, ExplicitVRLittleEndian)
    _, results = negotiate(associate_rq(contexts=(bent, good)))
    assert results == {1: result, 3: 0}


def test_unknown_items_and_user_items_are_skipped() -> None:
    odd = ((0x99, b"?"), (0x5F, b""), (0x53, b"\0"), (0x56, b"\xff\xff"), (0x58, b"\x01"))
    decoded = normalize(associate_rq(user=(*odd, *USER), more=item(0x77, b"?")))
    assert decoded.to_primitive().maximum_length_received == 16384
    assert normalize_request(associate_rq(user=(*odd, *USER))[6:]) == associate_rq()[6:]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (b"", None),
        (b"\0\0", None),
        (b"OFFIS_DCMTK_368\0", "OFFIS_DCMTK_368"),
        (b"a name of far more than sixteen letters", "a name of far mo"),
        (b"V\xc3\xa91\\0\x1b", "V10"),
    ],
)
def test_the_implementation_version_name_never_matters(name: bytes, expected: str | None) -> None:
    primitive = normalize(associate_rq(user=(*USER, (0x55, name)))).to_primitive()
    names = [
        each.implementation_version_name
        for each in primitive.user_information
        if isinstance(each, ImplementationVersionNameNotification)
    ]
    assert names == ([] if expected is None else [expected])


@pytest.mark.parametrize("user", [(), ((0x51, b"\0"), (0x52, b"x"))])
def test_missing_and_malformed_user_items_are_replaced(user: tuple[tuple[int, bytes], ...]) -> None:
    primitive, results = negotiate(associate_rq(user=user, contexts=CONTEXTS[:1]))
    assert primitive.maximum_length_received == 16384
    assert results == {1: 0}


@pytest.mark.parametrize(
    ("roles", "kept"),
    [(b"\0\0", 0), (b"\0\x01", 1), (b"\x01\0", 1), (b"\x01\x01", 1), (b"\x02\x01", 0), (b"", 0)],
)
def test_a_role_selection_that_selects_nothing_is_skipped(roles: bytes, kept: int) -> None:
    primitive, results = negotiate(
        associate_rq(user=(*USER, (0x54, ROLE + roles)), contexts=CONTEXTS[:1])
    )
    selected = [
        each
        for each in primitive.user_information
        if isinstance(each, SCP_SCU_RoleSelectionNegotiation)
    ]
    assert len(selected) == kept
    assert results == {1: 0}


@pytest.mark.parametrize(
    ("request_bytes", "fault"),
    [
        (associate_rq()[:60], RequestFault.TRUNCATED),
        (associate_rq()[:-1], RequestFault.TRUNCATED),
        (associate_rq(more=b"\x10\0"), RequestFault.TRUNCATED),
        (associate_rq(more=b"\x10\0\xff\xff"), RequestFault.TRUNCATED),
        (
            associate_rq(contexts=(item(0x20, b"\x01\0\0\0\x30\0\0\x40"),)),
            RequestFault.TRUNCATED,
        ),
        (associate_rq(contexts=(CONTEXTS[0], CONTEXTS[0])), RequestFault.CONTEXT_ID),
        (associate_rq(contexts=(context(2, MRImageStorage),)), RequestFault.CONTEXT_ID),
        (associate_rq(contexts=(item(0x20, b""),)), RequestFault.CONTEXT_ID),
        (associate_rq(contexts=()), RequestFault.NO_CONTEXT),
        (associate_rq(user=((0x51, struct.pack(">L", 7)),)), RequestFault.MAXIMUM_LENGTH),
    ],
)
def test_a_request_that_cannot_be_read_is_aborted(
    request_bytes: bytes, fault: RequestFault
) -> None:
    assert find_fault(request_bytes) is fault
    assert fault.answer == ABORT


def test_a_context_that_grows_fits_its_item() -> None:
    syntaxes = b"".join(
        item(0x40, f"1.{number}".encode().ljust(60, b"1")) for number in range(1000)
    )
    full = item(0x20, b"\x01\0\0\0" + syntaxes)
    (only,) = normalize(associate_rq(contexts=(full,))).presentation_context
    assert only.abstract_syntax == NO_SYNTAX.decode()


@settings(max_examples=600, deadline=None)
@given(lied(PLAIN_RQ[6:]) | lied(associate_rq()[6:]) | st.binary(max_size=300))
def test_whatever_is_not_refused_is_decoded_and_negotiated(content: bytes) -> None:
    try:
        normalized = normalize_request(content)
    except RefusedRequest:
        return
    assert normalize_request(normalized) == normalized
    primitive, results = negotiate(bytes(6) + content)
    assert len(results) == len(primitive.presentation_context_definition_list)
    assert primitive.calling_ae_title
    assert primitive.called_ae_title
