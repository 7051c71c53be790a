"""Archives that studies are retrieved from, and where the studies go."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, Self

from triage.domain.archive import ArchivedStudy, ArchiveQuery, RetrieveResponse
from triage.domain.errors import OutOfResources


class StudyDownload(Protocol):
    """Where one study is gathered until it is whole. As a context: what was not finished goes."""

    @property
    def instances(self) -> int:
        """How many different instances lie here."""

    @property
    def refusals(self) -> Counter[str]:
        """Why instances were not kept, and how often."""

    @property
    def storage_error(self) -> OutOfResources | None:
        """What was raised when there was no room, if there was none."""

    def keep(self, pieces: Iterable[bytes], announced_uid: str | None = None) -> None:
        """Keep a Part 10 file that comes in pieces; raise InstanceRefused where it is not ours.

        `announced_uid` is the SOP Instance UID of the command that brought it, if there was one.
        """

    def finish(self) -> None:
        """Hand the whole study on."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


class DownloadTarget(Protocol):
    """Where pulled studies go."""

    def count_instances(self, study_uid: str) -> int:
        """Return how many instances of a whole study are there; 0: it is not there."""

    def open(self, study_uid: str, turn: Callable[[], None]) -> StudyDownload:
        """Begin a study anew; `turn` waits until the next instance may come.

        Raises BackpressureActive while there is no room for the study.
        """


class Archive(Protocol):
    """A PACS that is asked for studies. Raises ArchiveFailed and ArchiveUnreachable."""

    def find(self, search: ArchiveQuery) -> Iterator[ArchivedStudy]:
        """Yield the studies that it names; more may be among them than were looked for."""

    def fetch(self, study: ArchivedStudy, desk: StudyDownload) -> RetrieveResponse:
        """Have it send a study, and put the instances onto the desk as they come."""
