"""Storage classes beyond the standard: refused alone, added by the site, or any."""

import copy
from collections.abc import Sequence
from pathlib import Path

import pytest
from pydicom import Dataset
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    JPEGBaseline8Bit,
    MediaStorageDirectoryStorage,
    MRImageStorage,
)
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StudyRootQueryRetrieveInformationModelFind,
)

from tests.builders.images import FOUR_CHAMBER, cine, uid
from tests.integration.command_line import run_triage
from tests.integration.listening_receiver import request_association, run_receiver
from tests.integration.site_settings import configured
from tests.integration.stow import end_stow, start_stow
from triage.dimse.statuses import StoreStatus

UNLISTED = "1.2.156.112605.999.1"
GE_RAW = "1.2.840.113619.4.30"
PHASES = 25


def study_with(sop_class: str) -> list[Dataset]:
    """Return a four-chamber cine, and an object of a class without an image."""
    images = cine("study", "cine 4ch", FOUR_CHAMBER, PHASES)
    odd = copy.deepcopy(images[0])
    odd.SOPClassUID = odd.file_meta.MediaStorageSOPClassUID = UID(sop_class)
    odd.SOPInstanceUID = odd.file_meta.MediaStorageSOPInstanceUID = UID(uid("study", "odd"))
    for keyword in ("PixelData", "Rows", "Columns"):
        del odd[keyword]
    for each in (*images, odd):
        each.preamble = bytes(128)  # so that clients write a file of PS3.10
    return [*images, odd]


def send(port: int, study: Sequence[Dataset]) -> list[int | None]:
    """Send a study on one association; None stands for a refused class."""
    classes = dict.fromkeys(str(each.SOPClassUID) for each in study)
    association = request_association(port, *((each, ExplicitVRLittleEndian) for each in classes))
    taken = {context.abstract_syntax for context in association.accepted_contexts}
    statuses = [
        int(association.send_c_store(each).Status) if each.SOPClassUID in taken else None
        for each in study
    ]
    association.release()
    return statuses


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize(
    ("sop_class", "settings", "expected"),
    [
        (GE_RAW, {}, StoreStatus.SUCCESS),
        (UNLISTED, {}, None),
        (UNLISTED, {"storage_classes": [UNLISTED]}, StoreStatus.SUCCESS),
        (UNLISTED, {"storage": "any"}, StoreStatus.SUCCESS),
        ("1.2.840.10008.5.1.4.1.1.9999", {"storage": "any"}, StoreStatus.SUCCESS),
    ],
)
def test_the_images_arrive_whatever_becomes_of_the_private_object(
    tmp_path: Path,
    sop_class: str,
    settings: dict[str, object],
    expected: int | None,
    *,
    fast: bool,
) -> None:
    study = study_with(sop_class)
    with run_receiver(tmp_path, fast=fast, **settings) as receiver:
        assert send(receiver.port, study) == [*[StoreStatus.SUCCESS] * PHASES, expected]
        (recorded,) = receiver.ledger.list_studies()
        assert recorded.instances == PHASES + (expected is not None)
        assert send(receiver.port, study)[-1] == expected  # on each association


def test_any_accepts_no_other_service_and_no_lossy_syntax_beside_a_lossless_one(
    tmp_path: Path,
) -> None:
    contexts = [
        (UNLISTED, [JPEGBaseline8Bit, ExplicitVRLittleEndian]),
        (StudyRootQueryRetrieveInformationModelFind, None),
        (MediaStorageDirectoryStorage, None),
        (MRImageStorage, None),
    ]
    with run_receiver(tmp_path, storage="any") as receiver:
        association = request_association(receiver.port, *contexts)
        taken = {
            str(context.abstract_syntax): context.transfer_syntax[0]
            for context in association.accepted_contexts
        }
        association.release()
        assert set(taken) == {UNLISTED, MRImageStorage}
        assert taken[UNLISTED] == ExplicitVRLittleEndian


@pytest.mark.parametrize(
    ("settings", "stored"), [({}, PHASES), ({"storage_classes": (UNLISTED,)}, PHASES + 1)]
)
def test_stow_accepts_the_same_classes(
    tmp_path: Path, settings: dict[str, tuple[str, ...]], stored: int
) -> None:
    receiver = start_stow(tmp_path, {}, **settings)
    try:
        client = receiver.client()
        response = client.store_instances(study_with(UNLISTED))
        assert len(response.ReferencedSOPSequence) == stored
        assert len(receiver.kept()) == stored
    finally:
        end_stow(receiver)


def test_what_is_kept_and_never_assessed_is_counted_in_the_status(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    with run_receiver(state) as receiver:
        send(receiver.port, study_with(GE_RAW))
    shown = run_triage("status", uid("study"), config=configured(tmp_path), COLUMNS="120").stdout
    assert f"kept, never assessed: 1 of GEPrivatePETRawDataStorage ({GE_RAW})" in shown
