"""Complete fakes of our own ports. Each passes the contract suite of its port (tests/contract)."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np

from triage.domain.audit import AuditEvent
from triage.domain.case import NO_FILTER, Case, Filter, Neighbour
from triage.domain.delivery import Acknowledgement, Product
from triage.domain.errors import (
    BrokerUnavailable,
    DeliveryFailed,
    DeliveryRefused,
    DestinationUnreachable,
)
from triage.domain.finding_version import FindingVersion
from triage.ports.encoder import Embedding, Embeddings, Frames


@dataclass
class FakeClock:
    """A clock that moves only when a test moves it."""

    at: float = 1_000_000.0

    def now(self) -> float:
        return self.at

    def pass_s(self, seconds: float) -> None:
        self.at += seconds


@dataclass
class FakeQueue:
    """A broker in memory that can be down or wiped."""

    down: bool = False
    tasks: dict[str, list[tuple[str | int, ...]]] = field(
        default_factory=lambda: {"assess": [], "deliver": []}
    )

    def enqueue_assessment(self, study_uid: str, revision: int) -> None:
        self._send("assess", study_uid, revision)

    def enqueue_delivery(self, delivery_id: int) -> None:
        self._send("deliver", delivery_id)

    def count_waiting(self, queue: str) -> int:
        self._check()
        return len(self.tasks[queue])

    def wipe(self) -> None:
        for tasks in self.tasks.values():
            tasks.clear()

    def _send(self, queue: str, *identifiers: str | int) -> None:
        self._check()
        self.tasks[queue].append(identifiers)

    def _check(self) -> None:
        if self.down:
            raise BrokerUnavailable("the fake broker is down")


@dataclass
class FakeDestination:
    """A destination that takes products, or answers as a test has set."""

    name: str = "fake"
    refusal: str = ""
    refusal_after_choice: str = ""  #: what it answers to a product that it has chosen
    silent: bool = False  #: does not refuse, but is not there
    final: bool = False  #: refuses for good
    error: DeliveryFailed | None = None  #: what a delivery ends with, whatever the flags say
    peer_text: str = ""  #: its answer as text
    classes: Sequence[str] = ()  #: SOP classes that it takes; all, if there are none
    media_types: Collection[str] = ("application/dicom",)
    received: list[Product] = field(default_factory=list)

    def choose(self, offers: Sequence[Product]) -> Product:
        self._check()
        taken = [
            product
            for product in offers
            if product.sop_class_uid in self.classes or not self.classes
        ]
        if not taken:
            raise DeliveryFailed("it accepts no such class")
        return taken[0]

    def deliver(self, product: Product) -> Acknowledgement:
        self._check()
        if self.error is not None:
            raise self.error
        if self.refusal_after_choice:
            raise DeliveryFailed(self.refusal_after_choice)
        self.received.append(product)
        return Acknowledgement("0x0000 Success")

    def _check(self) -> None:
        if self.refusal:
            refused = DeliveryRefused if self.final else DeliveryFailed
            raise (DestinationUnreachable if self.silent else refused)(self.refusal, self.peer_text)

    def echo(self) -> Acknowledgement:
        self._check()
        return Acknowledgement("0x0000 Success")


@dataclass
class FakeEncoder:
    """An encoder that returns a fixed unit vector for every input."""

    size: int = 8
    execution_provider: str = "CPUExecutionProvider"
    clips: list[Frames] = field(default_factory=list)

    def encode_clip(self, frames: Frames) -> Embedding:
        self.clips.append(frames)
        return self._unit(0)

    def encode_clips(self, clips: Sequence[Frames]) -> Embeddings:
        return np.stack([self.encode_clip(clip) for clip in clips])

    def encode_text(self, text: str) -> Embedding:
        return self._unit(len(text) % self.size)

    def _unit(self, axis: int) -> Embedding:
        unit = np.zeros(self.size, np.float32)
        unit[axis] = 1
        return unit


@dataclass
class FakeLibrary:
    """Cases in memory."""

    kept: dict[str, tuple[Case, Embedding]] = field(default_factory=dict)
    others: tuple["FakeLibrary", ...] = ()  #: of other bundles
    forgotten: set[str] = field(default_factory=set)

    def add(self, case: Case, embedding: Embedding) -> None:
        if case.patient in self.forgotten:
            return
        self.kept.pop(case.study_uid, None)
        self.kept[case.study_uid] = (case, embedding)

    def find_nearest(
        self, embedding: Embedding, count: int, where: Filter = NO_FILTER
    ) -> Sequence[Neighbour]:
        near = [
            Neighbour(case, float(vector @ embedding))
            for case, vector in self.kept.values()
            if _matches(case, where)
        ]
        return sorted(near, key=lambda each: -each.similarity)[:count]

    def get_case(self, study_uid: str) -> Case | None:
        case, _ = self.kept.get(study_uid, (None, None))
        return case

    def count_cases(self) -> int:
        return len(self.kept)

    def get_embedding(self, study_uid: str) -> Embedding | None:
        _, vector = self.kept.get(study_uid, (None, None))
        return vector

    def list_study_uids(self) -> Iterator[str]:
        yield from self.kept

    def list_study_uids_of_other_bundles(self) -> Iterator[str]:
        yield from sorted({uid for library in self.others for uid in library.kept} - {*self.kept})

    def get_case_of_other_bundle(self, study_uid: str) -> Case | None:
        found = (library.get_case(study_uid) for library in self.others)
        return next((case for case in found if case is not None), None)

    def list_typical_cosines(self) -> Sequence[float]:
        pairs = combinations(self.kept.values(), 2)
        return sorted(float(one @ two) for (a, one), (b, two) in pairs if a.patient != b.patient)

    def forget_patient(self, patient: str) -> int:
        self.forgotten.add(patient)
        theirs = [uid for uid, (case, _) in self.kept.items() if case.patient == patient]
        for uid in theirs:
            del self.kept[uid]
        return len(theirs) + sum(library.forget_patient(patient) for library in self.others)

    def count_older(self, date: str) -> int:
        return len(self._before(date)) + sum(library.count_older(date) for library in self.others)

    def remove_older(self, date: str) -> int:
        old = self._before(date)
        for uid in old:
            del self.kept[uid]
        return len(old) + sum(library.remove_older(date) for library in self.others)

    def _before(self, date: str) -> list[str]:
        return [uid for uid, (case, _) in self.kept.items() if "" < case.study_date < date]


def _matches(case: Case, where: Filter) -> bool:
    said = case.confirmed if where.confirmed_only else (*case.flagged, *case.confirmed)
    return (
        case.study_date >= where.since
        and (not where.until or "" < case.study_date <= where.until)
        and where.vendor.lower() in case.vendor
        and (where.finding in said if where.finding else bool(said) or not where.confirmed_only)
        and where.patient in {"", case.patient}
        and where.other_than != case.patient
    )


@dataclass
class FakeTrail:
    """An audit trail in memory."""

    events: list[AuditEvent] = field(default_factory=list)

    def record(self, event: AuditEvent) -> None:
        self.events.append(event)


@dataclass
class FakeFindingLedger:
    """Versions of findings in memory."""

    versions: list[FindingVersion] = field(default_factory=list)

    def get_revision(self) -> int:
        return len(self.versions)

    def list_versions(self) -> Sequence[FindingVersion]:
        return list(self.versions)

    def append(self, versions: Sequence[FindingVersion], revision: int) -> bool:
        if revision != len(self.versions):
            return False
        self.versions += versions
        return True
