"""A fake archive to retrieve studies from."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from triage.domain.archive import ArchivedStudy, ArchiveQuery, RetrieveResponse
from triage.domain.errors import ArchiveUnreachable, InstanceRefused
from triage.ports.archive import StudyDownload

Fetch = Callable[[StudyDownload], RetrieveResponse]


@dataclass
class FakeArchive:
    """An archive in memory that sends its studies, or does what a test wants instead."""

    #: used up by the next fetches: an error to raise, or a function that sends instances
    answers: list[Fetch | Exception] = field(default_factory=list)
    studies: Mapping[str, Sequence[bytes]] = field(default_factory=dict)  #: Part 10 files by UID
    listed: Sequence[ArchivedStudy] = ()  #: matches of every search, in addition to `studies`
    down: bool = False
    fetches: int = 0

    def find(self, search: ArchiveQuery) -> Iterator[ArchivedStudy]:
        self._check()
        yield from self.listed
        for uid, files in self.studies.items():
            if search.study_uid in {"", uid}:
                yield ArchivedStudy(uid, instances=len(files), patient_id=search.patient_id)

    def fetch(self, study: ArchivedStudy, desk: StudyDownload) -> RetrieveResponse:
        self._check()
        self.fetches += 1
        if self.answers:
            answer = self.answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer(desk)
        for content in self.studies.get(study.study_uid, ()):
            with suppress(InstanceRefused):
                desk.keep([content])
        return RetrieveResponse()

    def _check(self) -> None:
        if self.down:
            raise ArchiveUnreachable("the fake archive is down")
