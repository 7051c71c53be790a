"""Archives that studies are retrieved from, and targets of the downloads."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, Self

from triage.domain.archive import ArchivedStudy, ArchiveQuery, RetrieveResponse
from triage.domain.errors import OutOfResources


class StudyDownload(Protocol):
    """A study that is being downloaded; a context that discards an unfinished one."""

    @property
    def instances(self) -> int:
        """The number of different instances kept so far."""

    @property
    def refusals(self) -> Counter[str]:
        """The number of refused instances by reason."""

    @property
    def storage_error(self) -> OutOfResources | None:
        """The error that was raised for lack of space, if any."""

    def keep(self, pieces: Iterable[bytes], announced_uid: str | None = None) -> None:
        """Keep a Part 10 file that arrives in pieces; raise InstanceRefused if unsuitable.

        `announced_uid` is the SOP Instance UID of its C-STORE request, if any.
        """

    def finish(self) -> None:
        """Pass the complete study on."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


class DownloadTarget(Protocol):
    """The target of retrieved studies."""

    def count_instances(self, study_uid: str) -> int:
        """Return the number of instances of a complete study; 0 if it is not there."""

    def open(self, study_uid: str, turn: Callable[[], None]) -> StudyDownload:
        """Begin a study from scratch; `turn` waits until the next instance may arrive.

        Raises: BackpressureActive while there is no space for the study.
        """


class Archive(Protocol):
    """A PACS that is queried for studies. Raises ArchiveFailed, ArchiveUnreachable."""

    def find(self, search: ArchiveQuery) -> Iterator[ArchivedStudy]:
        """Yield the matching studies; the archive may return further studies."""

    def fetch(self, study: ArchivedStudy, download: StudyDownload) -> RetrieveResponse:
        """Retrieve a study, and pass each arriving instance to `download`."""
