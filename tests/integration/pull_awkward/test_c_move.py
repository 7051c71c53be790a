"""`triage pull` by C-MOVE, with peers that get in between."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from pydicom import Dataset
from pynetdicom import AE, evt
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    MRImageStorage,
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelMove,
)

from tests.builders.images import image
from tests.integration.pull_awkward.archives import (
    PENDING,
    STUDY,
    UID,
    Answers,
    finds,
    match,
    patient,
)
from tests.integration.retrieval import configured, fetched, names
from tests.waiting import HOST
from triage.cli.demo_site import find_free_port
from triage.domain.errors import ConfigurationError
from triage.pipeline.retrieve import RetrieveOutcome, StudyRetriever
from triage.store.download import FolderDownloadTarget


@contextmanager
def moving(
    folder: Path, to: tuple[str, int] | None, move: Callable[[int], Answers]
) -> Iterator[StudyRetriever]:
    """An archive that knows one destination; `move` is told our port."""
    ours = find_free_port()

    def answer(_: evt.Event) -> Any:
        yield (HOST, ours) if to is None else to
        yield from move(ours)

    ae = AE(ae_title="PACS")
    for model in (
        StudyRootQueryRetrieveInformationModelFind,
        StudyRootQueryRetrieveInformationModelMove,
    ):
        ae.add_supported_context(model)
    ae.add_requested_context(MRImageStorage)
    port = find_free_port()
    handlers: Any = [(evt.EVT_C_FIND, finds(match(UID))), (evt.EVT_C_MOVE, answer)]
    server: Any = ae.start_server((HOST, port), block=False, evt_handlers=handlers)
    settings = {"kind": "dicom", "ae_title": "PACS", "host": HOST, "port": port, "timeout_s": 5}
    move_to = {"ae_title": "PULLING", "port": ours, "sends_as": ["PACS_STORE"]}
    yield patient(configured(folder.parent, pacs={**settings, "move_to": move_to}))
    server.shutdown()


def whole(_port: int) -> Answers:
    yield cast(Any, len(STUDY))
    yield from ((PENDING, each) for each in STUDY)


def store_as(port: int, calling: str, called: str, sent: Dataset, **originator: Any) -> int | None:
    """Store from elsewhere; return the status, None where the association was rejected."""
    ae = AE(ae_title=calling)
    ae.add_requested_context(MRImageStorage)
    association = ae.associate(HOST, port, ae_title=called)
    if not association.is_established:
        return None
    try:
        return int(association.send_c_store(sent, **originator).Status)
    finally:
        association.release()


def test_c_move_files_what_the_archive_sends(folder: Path) -> None:
    with moving(folder, None, whole) as puller:
        assert puller.retrieve(FolderDownloadTarget(folder), UID) == (RetrieveOutcome.FETCHED, "")
    assert fetched(folder) == {UID: names(STUDY)}


def test_while_a_study_is_moved_nobody_else_gets_in(folder: Path) -> None:
    answers: dict[str, int | None] = {}
    mine, his = ({"originator_aet": title, "originator_id": 1} for title in ("CMRTRIAGE", "HIS"))

    def move(port: int) -> Answers:
        other, late = image("other"), image(number=9)
        answers["stranger"] = store_as(port, "STRANGER", "PULLING", late)
        answers["called"] = store_as(port, "PACS", "OTHER", late)
        answers["study"] = store_as(port, "PACS", "PULLING", other, **mine)
        answers["originator"] = store_as(port, "PACS", "PULLING", late, **his)
        answers["store"] = store_as(port, "PACS_STORE", "PULLING", STUDY[0])
        yield from whole(port)

    with moving(folder, None, move) as puller:
        outcome, why = puller.retrieve(FolderDownloadTarget(folder), UID)
    assert answers == {
        "stranger": None,
        "called": None,
        "study": 0xA900,
        "originator": 0xA900,
        "store": 0,
    }
    assert outcome is RetrieveOutcome.INCOMPLETE
    assert why == "1 refused: an instance of another study"
    assert fetched(folder) == {}


def test_an_unknown_move_destination_ends_the_pull(folder: Path) -> None:
    with (
        moving(folder, cast(Any, (None, None)), whole) as puller,
        pytest.raises(ConfigurationError, match="does not know the AE title of move_to"),
    ):
        puller.retrieve(FolderDownloadTarget(folder), UID)
