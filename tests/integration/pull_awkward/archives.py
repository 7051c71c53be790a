"""Archives that answer as they are told."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pydicom import Dataset
from pynetdicom import evt

from tests.builders.images import SliceGeometry as Place
from tests.builders.images import cine, uid
from tests.fakes import FakeClock
from tests.integration.retrieval import opened
from triage.pipeline.retrieve import StudyRetriever

UID = uid("study")
STUDY = cine("study", "a", Place(), 3)
Answers = Iterator[tuple[Any, Any]]
Answer = Callable[[evt.Event], Answers]
PENDING, SUCCESS = 0xFF00, 0x0000


def match(study_uid: str, instances: int | None = 3) -> Dataset:
    found = Dataset()
    found.QueryRetrieveLevel = "STUDY"
    found.add_new(0x0020000D, "UI", "")
    found[0x0020000D]._value = study_uid  # what pydicom would not let pass
    found.StudyDate = "20240131"
    if instances is not None:
        found.NumberOfStudyRelatedInstances = instances
    return found


def finds(*found: Dataset, status: int = SUCCESS) -> Answer:
    def answer(_: evt.Event) -> Answers:
        yield from ((PENDING, each) for each in found)
        yield status, None

    return answer


def patient(config: Path) -> StudyRetriever:
    """A pull that waits by a clock of its own."""
    clock = FakeClock()
    puller = opened(config)
    puller.sleep = clock.pass_s
    return puller
