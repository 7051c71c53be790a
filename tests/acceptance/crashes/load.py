"""A stream of small studies from several senders at once, and what must have become of them."""

import threading
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Self

from tests.acceptance.crashes.sending import Sending
from tests.acceptance.site import LiveSite
from tests.builders.small_studies import small_study
from triage.domain.study import ENDED, State

AT_ONCE = 3  #: senders


@dataclass
class StudyLoad:
    """Studies that are sent one after the other by each sender, until there are no more."""

    port: int
    studies: int
    sent: list[Sending] = field(default_factory=list)
    _numbers: Iterator[int] = field(init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._numbers = iter(range(1, self.studies + 1))

    def __enter__(self) -> Self:
        for _ in range(AT_ONCE):
            self._threads.append(threading.Thread(target=self._send, daemon=True))
            self._threads[-1].start()
        return self

    def __exit__(self, *_: object) -> None:
        self.join()

    def join(self) -> None:
        for each in self._threads:
            each.join()

    def _send(self) -> None:
        while (number := self._next()) is not None:
            with Sending(small_study(number), self.port) as sending:
                pass
            self.sent.append(sending)

    def _next(self) -> int | None:
        with self._lock:
            return next(self._numbers, None)


@dataclass(frozen=True)
class Sum:
    """The result of a load."""

    studies: int
    unanswered: int  #: instances without an answer, for which the site is not responsible
    states: Counter[State]
    lost: int  #: studies without an end state, or without a report at the archive
    doubled: int  #: reports and revisions beyond one of each study

    @property
    def holds(self) -> bool:
        return not (self.unanswered or self.lost or self.doubled)

    @classmethod
    def of(cls, site: LiveSite, load: StudyLoad, reports: Counter[str]) -> "Sum":
        """Count outside the site; `reports` at the archive by Study UID."""
        with closing(site.ledger()) as ledger:
            known = [(each.study_uid, each.state) for each in ledger.list_studies()]
        uids = {each.study.uid for each in load.sent}
        delivered = {uid for uid, state in known if state is State.DELIVERED}
        return cls(
            len(load.sent),
            sum(len(each.study.instances) - each.answered for each in load.sent),
            Counter(state for _, state in known),
            sum(uid not in delivered or not reports[uid] for uid in uids),
            sum(count - 1 for count in reports.values() if count > 1) + len(known) - len(uids),
        )


def is_through(site: LiveSite, load: StudyLoad) -> bool:
    """Return whether every study that was sent has ended."""
    with closing(site.ledger()) as ledger:
        ended: Collection[State] = [each.state for each in ledger.list_studies()]
    return len(ended) >= len(load.sent) and all(state in ENDED for state in ended)
