"""What the use cases need from the outside, as Protocols.

Rule: intake, assess, deliver and reconcile know these and nothing behind them. Every adapter
passes the contract suite of its port (tests/contract); so does every fake.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from triage.domain.announcement import Announced, Changed, Stage
from triage.domain.archive import ArchivedStudy, Search, Told
from triage.domain.audit import AuditEvent
from triage.domain.case import EVERY, Case, Filter, Neighbour
from triage.domain.census import Census
from triage.domain.commitment import Commitment, Kept, Reference, Report
from triage.domain.completeness import Stack
from triage.domain.delivery import Acknowledgement, Delivery, Outage, Product, Route
from triage.domain.errors import SpoolFull
from triage.domain.instance import Identity, Receipt, Source
from triage.domain.retention import Ended, Lying
from triage.domain.study import Event, State, StudyRevision

Frames = NDArray[np.uint8]  #: (frames, H, W)
Embedding = NDArray[np.float32]  #: (D,), L2-normalised
Embeddings = NDArray[np.float32]  #: (n, D), each L2-normalised


class Clock(Protocol):
    """The time."""

    def now(self) -> float:
        """Return the seconds since the epoch."""


class Aside(Protocol):
    """A Part 10 file that is being written on a disk beside the spool, and not promised yet."""

    @property
    def path(self) -> Path:
        """Where it lies."""

    @property
    def digest(self) -> str:
        """The SHA-256 of what was written, in hexadecimal."""

    def write(self, part: bytes | memoryview) -> None:
        """Append some bytes; raise SpoolFull where there is no room."""

    def close(self) -> None:
        """Make what was written durable; raise SpoolFull where there is no room."""

    def discard(self) -> None:
        """Remove it, if it was not kept."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None:
        """Discard it."""


class Spool(Protocol):
    """The truth about instances: what it has kept survives a power cut.

    Every call may raise SpoolAway where the spool is no file system. A file that is not there, or
    cannot be read, is an OSError.
    """

    def keep(self, identity: Identity, part10: bytes) -> Receipt:
        """Keep an instance durably; raise SpoolFull where there is no room."""

    def quarantine(self, part10: bytes) -> str:
        """Keep bytes that are no usable instance, apart; return their path."""

    def aside(self) -> Aside:
        """Open a new place for what arrives."""

    def keep_file(self, identity: Identity, aside: Aside) -> Receipt:
        """Keep what was written aside as `keep` does; it is gone from there afterwards."""

    def quarantine_file(self, aside: Aside) -> str:
        """Keep what was written aside as `quarantine` does."""

    def read(self, path: str) -> bytes:
        """Return the Part 10 file at a receipt's path."""

    def examine(self, path: str) -> Receipt:
        """Return the receipt of a file that lies in the spool; raise DamagedInstance.

        One under another name than its own is kept under that too.
        """

    def discard(self, path: str) -> None:
        """Remove a file that lies in the spool under a name that is not its own."""

    def paths(self) -> Iterator[str]:
        """Yield the path of every kept instance; conflicting copies are left out."""

    def free_bytes(self) -> int:
        """Return how many more bytes its file system takes from us.

        Of a spool elsewhere, that where things are written first; raise SpoolAway while it is away.
        """

    def free_where_kept(self) -> int | None:
        """Return how many more bytes the disk takes that kept files lie on; None: it does not say.

        Removing kept files makes this more, and `free_bytes` not always.
        """

    def sweep(self) -> None:
        """Remove what a crash left half written an hour ago or earlier: nobody was promised it."""

    def try_out(self) -> None:
        """Write, read and remove a probe; raise ConfigurationError or SpoolFull with what fails."""

    def lying(self, study_uid: str) -> Sequence[Lying]:
        """Return all that is kept of a study, conflicting copies too."""

    def remove(self, paths: Collection[str]) -> None:
        """Remove kept files durably; what is gone already is no error."""

    def quarantined(self) -> Sequence[Lying]:
        """Return all that was quarantined."""

    def remove_quarantined(self, paths: Collection[str]) -> None:
        """Remove quarantined files; what is gone already is no error."""


class Ledger(Protocol):
    """The truth about states; each call is one transaction, at the time of its own clock.

    A change that is not possible any more (another worker was faster) returns False or None. Raises
    LedgerUnavailable.
    """

    def record(self, receipt: Receipt, source: Source) -> StudyRevision:
        """Remember an instance; it opens a study, joins it, or opens its next revision.

        Raises BeingRemoved while the study's images go: nothing is remembered then.
        """

    def report(self, kind: str, detail: str, source: Source, path: str = "") -> None:
        """Remember an incident that a PACS administrator must be able to see."""

    def report_again(
        self, kind: str, detail: str, source: Source, times: int = 1, path: str = ""
    ) -> None:
        """Remember that the same happened again: one incident a day, with how often."""

    def study(self, study_uid: str, revision: int) -> StudyRevision | None:
        """Return one revision of a study."""

    def studies(self, *states: State) -> Sequence[StudyRevision]:
        """Return the revisions in these states (all states if none is named), oldest first."""

    def paths(self, study_uid: str, revision: int) -> Sequence[str]:
        """Return the spool paths of every instance of a revision, sorted."""

    def known_paths(self) -> set[str]:
        """Return the spool paths of all instances."""

    def knows(self, study_uid: str) -> bool:
        """Tell whether anything of a study has come."""

    def waiting_studies(self) -> int:
        """Return how many revisions arrive, or wait for a worker."""

    def census(self) -> Census:
        """Return how many studies and deliveries are in each state, and since when one waits."""

    def stacks(self, study_uid: str, revision: int) -> Sequence[Stack]:
        """Return the images by series and place, where they say of how many they are."""

    def removed_instances(self, study_uid: str) -> int:
        """Return how many instances a study had whose images were removed; 0: none were."""

    def sources(self, study_uid: str, revision: int) -> set[str]:
        """Return the calling AE titles that instances of a revision came from."""

    def arrivals(self, study_uid: str, revision: int) -> Mapping[Source, Mapping[str, int]]:
        """Return how many instances of each SOP class a revision has first, by who sent them."""

    def move(
        self,
        study: StudyRevision,
        event: Event,
        reason: str,
        holder: str | None = None,
        again_in_s: float = 0.0,
    ) -> bool:
        """Apply an event, if it is possible and nothing arrived since `study` was read.

        Where `holder` is given, the lease must be theirs. A READY study is not assessed before
        `again_in_s` seconds have passed.
        """

    def cut_off(self, study: StudyRevision, reason: str) -> bool:
        """Judge a study complete although it grows: at the hard limit it may do so all the time."""

    def claim(
        self, study_uid: str, revision: int, holder: str, lease_s: float
    ) -> StudyRevision | None:
        """Take a READY revision for `holder` until the lease ends."""

    def renew(self, study_uid: str, revision: int, holder: str, lease_s: float) -> bool:
        """Extend the lease of `holder`."""

    def expired(self) -> Sequence[StudyRevision]:
        """Return the ASSESSING revisions whose lease has ended."""

    def finish(
        self,
        study: StudyRevision,
        holder: str,
        summary: str,
        products: Sequence[Product],
        routes: Sequence[Route],
    ) -> Sequence[int] | None:
        """Store an assessment's products, and a delivery a route; return the deliveries' ids."""

    def summary(self, study_uid: str, revision: int) -> str | None:
        """Return what `finish` stored as the summary: the assessment as JSON."""

    def products(self, study_uid: str, revision: int) -> Sequence[Product]:
        """Return what was said of a study up to a revision, the latest last."""

    def unsent_studies(self, forgotten_after_s: float | None) -> Sequence[StudyRevision]:
        """Return READY revisions never queued, or queued so long ago; None: never again."""

    def unsent_deliveries(self, forgotten_after_s: float | None) -> Sequence[int]:
        """Return due deliveries never queued, or queued so long ago; None: never again."""

    def queued_study(self, study_uid: str, revision: int) -> None:
        """Remember that the broker took the study's task."""

    def queued_delivery(self, delivery_id: int) -> None:
        """Remember that the broker took the delivery's task."""

    def claim_delivery(self, delivery_id: int, lease_s: float) -> Delivery | None:
        """Take a due delivery until the lease ends."""

    def renew_delivery(self, delivery_id: int, lease_s: float) -> bool:
        """Extend the lease of a delivery that is under way."""

    def delivery(self, delivery_id: int) -> Delivery | None:
        """Return one delivery."""

    def chosen(self, delivery_id: int, sop_instance_uid: str) -> None:
        """Remember which of its alternatives a delivery sends; it never sends another one."""

    def delivered(self, delivery_id: int, answer: str) -> None:
        """Store a destination's acknowledgement; the last one ends the study."""

    def not_delivered(
        self,
        delivery_id: int,
        answer: str,
        again_in_s: float | None,
        *,
        unreachable: bool = False,
    ) -> None:
        """Store a failure; tried again after a while, given up where that is None.

        While a destination is unreachable, this delivery alone finds out when it is back.
        """

    def outages(self) -> Sequence[Outage]:
        """Return the destinations that do not answer, by name."""

    def deliveries(self, study_uid: str, revision: int) -> Sequence[Delivery]:
        """Return the deliveries of a revision."""


class RetentionLedger(Protocol):
    """What is forgotten of studies that have ended. Raises LedgerUnavailable."""

    def with_images(self) -> Sequence[Ended]:
        """Return the studies that have ended and whose images are here, the oldest first."""

    def with_products(self) -> Sequence[Ended]:
        """Return the studies that have ended and whose reports are here, the oldest first."""

    def mark(self, chosen: Collection[Ended]) -> Sequence[str]:
        """Say that the images of studies go; return of which.

        Some may have begun anew since they were chosen, or have ended anew: what happened to them
        later than they say is too young to go.
        """

    def marked(self) -> Sequence[str]:
        """Return the studies whose images go, and are not all gone."""

    def remove_images(self, study_uid: str, remove: Callable[[Collection[str]], None]) -> int:
        """Forget the instances of a marked study after `remove` had their paths; return how many.

        Between the two nobody takes anything in for this study.
        """

    def product_bytes(self, study_uid: str) -> int:
        """Return how long the reports on a study are, all together."""

    def remove_products(self, chosen: Ended) -> bool:
        """Remove what is said in the reports on a study; False where it began or ended anew."""

    def count_records(self, before: float) -> int:
        """Return how many lines of history and incidents are older than a moment."""

    def remove_records(self, before: float) -> int:
        """Remove these lines; return how many there were."""

    def shred(self) -> None:
        """Leave nothing in the database's files of what was removed."""


class CommitmentLedger(Protocol):
    """Requests for storage commitment whose report is owed. Raises LedgerUnavailable."""

    def owe(
        self,
        requestor: str,
        transaction_uid: str,
        references: Sequence[Reference],
        due_in_s: float,
    ) -> Commitment:
        """Remember a request; the same one again is due anew."""

    def due(self) -> Sequence[Commitment]:
        """Return the requests that are to be reported now, the oldest first."""

    def reported(self, commitment_id: int) -> None:
        """Forget a request: it was reported, or given up."""

    def wait(self, commitment_id: int, seconds: float) -> None:
        """Count an attempt that failed; the next one comes after a while."""

    def kept(self, uids: Sequence[str]) -> Mapping[str, Sequence[Kept]]:
        """Return what was received under SOP Instance UIDs, in whatever study, and stays."""


class CommitmentRequests(Protocol):
    """What archives are asked for the word that they keep it. Raises LedgerUnavailable."""

    def ask(self, delivery_id: int, transaction_uid: str, answer: str | None) -> bool:
        """Remember, before it goes out, that an archive is asked; the delivery is STORED.

        `answer` is what it has said to the product, None where it was not sent anew. False where
        the delivery is not under way any more: its word has come.
        """

    def wait(
        self, delivery_id: int, answer: str, again_in_s: float, *, unreachable: bool = False
    ) -> None:
        """Keep a STORED delivery until it is asked about again."""

    def is_asked_twice(self, delivery_id: int) -> bool:
        """Tell whether the last question was not that which followed a sending."""

    def about(self, transaction_uid: str) -> tuple[Delivery, bool] | None:
        """Return which delivery was asked about, and whether nothing was asked since."""


class Announcements(Protocol):
    """What is said that studies have, before or after it comes. Raises LedgerUnavailable."""

    def add(
        self, uid: str, study_uid: str, stage: Stage, sop_instance_uids: Collection[str]
    ) -> bool:
        """Remember a new announcement; False where its UID is known."""

    def change(
        self, uid: str, stage: Stage | None, sop_instance_uids: Collection[str] | None
    ) -> Changed:
        """Change an announcement that is in progress; None leaves what was said."""

    def of_study(self, study_uid: str) -> Announced | None:
        """Return what is announced of a study, None where nothing is."""


class Queue(Protocol):
    """The broker: it may forget everything at any time. Raises BrokerUnavailable."""

    def assess(self, study_uid: str, revision: int) -> None:
        """Ask a worker to assess a revision."""

    def deliver(self, delivery_id: int) -> None:
        """Ask a worker to make a delivery."""

    def waiting(self, queue: str) -> int:
        """Return how many tasks wait in the queue "assess" or "deliver"."""


class AuditTrail(Protocol):
    """Who did what, for an audit repository (PS3.15 A.5). Safe in any thread."""

    def record(self, event: AuditEvent) -> None:
        """Keep an event durably, to be sent in its turn; what fails is logged and raises nothing.

        Record it before what it tells of is done with: a crash may then repeat, never lose it.
        """


class Encoder(Protocol):
    """The model's two towers."""

    execution_provider: str

    def encode_clip(self, frames: Frames) -> Embedding:
        """Return the embedding of a clip's frames, (frames, H, W)."""

    def encode_clips(self, clips: Sequence[Frames]) -> Embeddings:
        """Return what `encode_clip` gives for each of one or more clips, worked out together."""

    def encode_text(self, text: str) -> Embedding:
        """Return the embedding of a text."""


class Destination(Protocol):
    """Somebody who takes products."""

    name: str
    media_types: Collection[str]  #: what it takes

    def choose(self, offers: Sequence[Product]) -> Product:
        """Return the first of several products that the destination would take.

        Raises DeliveryFailed where it would take none.
        """

    def deliver(self, product: Product) -> Acknowledgement:
        """Send a product and return the acknowledgement; raise DeliveryFailed otherwise."""

    def echo(self) -> Acknowledgement:
        """Ask whether the destination is there; raise DeliveryFailed otherwise."""


@runtime_checkable
class Committing(Destination, Protocol):
    """An archive that is asked for its word that it keeps what it has taken."""

    within_s: float  #: it is asked again when its word has not come for so long

    def ask(
        self, transaction_uid: str, product: Product, take: Callable[[Report, Source], bool]
    ) -> Acknowledgement:
        """Ask for the word; what is told at once goes to `take`, before it is acknowledged.

        Raises DeliveryFailed where it does not take the question.
        """


class Library(Protocol):
    """Past cases of one bundle, found by their nearness. Raises LedgerUnavailable.

    What one process has added, every other finds.
    """

    def add(self, case: Case, embedding: Embedding) -> None:
        """Keep a case; one that is known is replaced, and one of a forgotten patient left out."""

    def nearest(
        self, embedding: Embedding, count: int, where: Filter = EVERY
    ) -> Sequence[Neighbour]:
        """Return up to `count` cases, the nearest first; of equals the one added first."""

    def case(self, study_uid: str) -> Case | None:
        """Return a case."""

    def size(self) -> int:
        """Return how many cases there are."""

    def embedding(self, study_uid: str) -> Embedding | None:
        """Return the embedding of a case, to the precision that it is kept with."""

    def study_uids(self) -> Iterator[str]:
        """Yield the Study UID of every case."""

    def elsewhere(self) -> Iterator[str]:
        """Yield the Study UID of every case that other bundles have and this one has not."""

    def case_elsewhere(self, study_uid: str) -> Case | None:
        """Return a case as another bundle has it."""

    def typical(self) -> Sequence[float]:
        """Return the cosines of random pairs of cases of different patients, rising."""

    def forget(self, patient: str) -> int:
        """Remove a patient's cases, those of other bundles too; return how many there were.

        What is added of theirs later is left out.
        """

    def older(self, date: str) -> int:
        """Return how many cases, of all bundles, are of a study from before a date (VR DA)."""

    def remove_older(self, date: str) -> int:
        """Remove these cases with their vectors; return how many there were."""


class Desk(Protocol):
    """Where one study is gathered until it is whole. As a context: what was not finished goes."""

    @property
    def instances(self) -> int:
        """How many different instances lie here."""

    @property
    def refused(self) -> Counter[str]:
        """Why instances were not kept, and how often."""

    @property
    def full(self) -> SpoolFull | None:
        """What was raised when there was no room, if there was none."""

    def keep(self, pieces: Iterable[bytes], announced_uid: str | None = None) -> None:
        """Keep a Part 10 file that comes in pieces; raise InstanceRefused where it is not ours.

        `announced_uid` is the SOP Instance UID of the command that brought it, if there was one.
        """

    def finish(self) -> None:
        """Hand the whole study on."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


class Shelf(Protocol):
    """Where pulled studies go."""

    def instances(self, study_uid: str) -> int:
        """Return how many instances of a whole study are there; 0: it is not there."""

    def open(self, study_uid: str, turn: Callable[[], None]) -> Desk:
        """Begin a study anew; `turn` waits until the next instance may come.

        Raises HeldBack while there is no room for the study.
        """


class Archive(Protocol):
    """A PACS that is asked for studies. Raises ArchiveFailed and ArchiveUnreachable."""

    def find(self, search: Search) -> Iterator[ArchivedStudy]:
        """Yield the studies that it names; more may be among them than were looked for."""

    def fetch(self, study: ArchivedStudy, desk: Desk) -> Told:
        """Have it send a study, and put the instances onto the desk as they come."""
