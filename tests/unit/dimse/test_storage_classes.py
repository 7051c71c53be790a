"""Which storage SOP classes a site accepts, and how a C-GET proposes them."""

import pytest
from pydicom.uid import MediaStorageDirectoryStorage, MRImageStorage
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    ModalityPerformedProcedureStep,
    StorageCommitmentPushModel,
    StudyRootQueryRetrieveInformationModelFind,
    Verification,
)

from receivers.c_store.associate_request import NO_SYNTAX
from triage.archives.contexts import CONTEXTS_MAX, OTHERS, list_usual_classes, propose_contexts
from triage.dimse.storage_classes import PRIVATE_CLASSES, AcceptedClasses, describe_class
from triage.domain.uid import is_uid

UNKNOWN = "1.2.156.112605.999.1"  #: a private UID that no list has
NEW_STANDARD = "1.2.840.10008.5.1.4.1.1.9999"  #: below the root of the storage classes
NO_STORAGE = [
    Verification,
    StorageCommitmentPushModel,
    StudyRootQueryRetrieveInformationModelFind,
    ModalityPerformedProcedureStep,
    MediaStorageDirectoryStorage,
    NO_SYNTAX.decode(),
    "no UID",
    "",
]


@pytest.mark.parametrize("accepted", [AcceptedClasses(), AcceptedClasses((UNKNOWN,), is_any=True)])
def test_standard_and_vendors_classes_are_always_accepted(accepted: AcceptedClasses) -> None:
    assert {MRImageStorage, *PRIVATE_CLASSES.values()} <= set(accepted)
    assert all(uid in accepted for uid in accepted)


def test_a_class_is_added_alone() -> None:
    accepted = AcceptedClasses((UNKNOWN,))
    assert UNKNOWN in accepted
    assert UNKNOWN in set(accepted)
    assert NEW_STANDARD not in accepted
    assert UNKNOWN not in AcceptedClasses()


@pytest.mark.parametrize("uid", [UNKNOWN, NEW_STANDARD])
def test_any_includes_every_unknown_class(uid: str) -> None:
    accepted = AcceptedClasses(is_any=True)
    assert uid in accepted
    assert accepted.find_unlisted([uid, MRImageStorage, Verification, uid]) == [uid]


@pytest.mark.parametrize("uid", NO_STORAGE)
def test_any_excludes_what_is_no_storage(uid: str) -> None:
    assert uid not in AcceptedClasses(is_any=True)


def test_the_private_classes_have_distinct_uids() -> None:
    assert all(map(is_uid, PRIVATE_CLASSES.values()))
    assert len(set(PRIVATE_CLASSES.values())) == len(PRIVATE_CLASSES)


def test_a_class_is_described_by_its_name() -> None:
    assert describe_class(UNKNOWN) == UNKNOWN
    assert describe_class("1.2.840.113619.4.30") == (
        "GEPrivatePETRawDataStorage (1.2.840.113619.4.30)"
    )
    assert describe_class(MRImageStorage) == f"MR Image Storage ({MRImageStorage})"


def test_a_c_get_proposes_all_added_classes_within_the_limit_of_an_association() -> None:
    more = [f"1.2.156.112605.999.{number}" for number in range(64)]
    contexts = propose_contexts([UNKNOWN], more)
    assert len(contexts) == CONTEXTS_MAX - OTHERS
    assert {UNKNOWN, *more, *list_usual_classes()} <= {uid for uid, _ in contexts}
