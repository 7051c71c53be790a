"""The only composer: settings in, ready use cases out.

Rule: no other module constructs an adapter. What is dear (the model) is opened by the one who
needs it.
"""

import os
import random
import socket
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import structlog
from starlette.types import ASGIApp

from receivers.commitment import Requestor
from triage import __version__, archives, pull
from triage.archives.audited import audited
from triage.assess import Assessor
from triage.associations import OpenAssociations
from triage.audit import activity, spool_in, transport_of
from triage.audit.peers import peers
from triage.audit.sender import Sender
from triage.broker.queue import CeleryQueue
from triage.cases.keys import secret_in
from triage.cases.looks import Looks
from triage.cases.past import Past
from triage.commit import Committer
from triage.committed import Promises
from triage.config import (
    Archive,
    DicomArchive,
    DicomDestination,
    Receiver,
    Settings,
    SourceCompleteness,
)
from triage.databases import asking_server, look_at_database, open_database
from triage.deliver import Deliverer
from triage.destinations import KINDS
from triage.domain.audit import Unrecorded
from triage.domain.completeness import Patience, Sign
from triage.domain.errors import ConfigurationError, LedgerUnavailable
from triage.domain.instance import Source
from triage.exposition import Gauges, serve
from triage.findings.loader import load_findings
from triage.gathering import Gathering, Look
from triage.imaging.rules import load_rules
from triage.inquiry import Inquiry
from triage.intake import Intake
from triage.lease import Watch
from triage.look import Model
from triage.metrics import Metrics
from triage.model.bundle import Bundle, open_bundle
from triage.model.encoder import OnnxEncoder
from triage.model.fitted import Fitted
from triage.model.prompts import prompt_embeddings
from triage.model.questions import questions
from triage.pace import Pace
from triage.ports import AuditTrail, Clock, Destination, Library, Spool
from triage.pressure import Limits, NoticeFile, Pressure
from triage.prune import Pruner
from triage.reconcile import Reconciler
from triage.reports.equipment import Equipment
from triage.slots import Slots
from triage.store.announcements import SqlAnnouncements
from triage.store.commitment_requests import SqlCommitmentRequests
from triage.store.commitments import SqlCommitments
from triage.store.database import Database
from triage.store.dead_letters import SqlDeadLetters
from triage.store.fittings import SqlFittings
from triage.store.ledger import SqlLedger
from triage.store.library import ExactLibrary
from triage.store.migrations import HEAD
from triage.store.object_spool import ObjectSpool
from triage.store.retention import SqlRetention
from triage.store.shelf import PassingShelf
from triage.store.spool import FileSpool
from triage.trail import ANY_REVISION, StudyTrail
from triage.web.access import Access
from triage.web.app import build

if TYPE_CHECKING:  # its client is not installed everywhere
    from triage.store.bucket import Bucket

log = structlog.get_logger(__name__)

CASES = "cases"  #: the folder of the state folder that holds the cases' vectors
LAST_AUDIT_S = 5.0  #: for the audit messages of the end; else the next start sends them
COMMITMENTS_AT_ONCE = 4  #: reports; a requestor that is silent holds up one of them
CACHE = "cache"  #: the folder of the state folder that may be emptied at any time


PULLED = "pulled"  #: the folder of the state folder where studies are gathered for the intake
COPIED = 1 << 20  #: bytes at a time
LEDGER_PAUSE_S = 2.0  #: between two tries to reach the ledger at the start


class SystemClock:
    """See `ports.Clock`."""

    def now(self) -> float:
        """Return the seconds since the epoch."""
        return time.time()


@dataclass(frozen=True)
class Services:
    """The parts of one process, opened when first used."""

    settings: Settings
    redis_url: str

    @cached_property
    def clock(self) -> SystemClock:
        """The system's time."""
        return SystemClock()

    @cached_property
    def spool(self) -> Spool:
        """Where instances are kept."""
        return open_spool(self.settings)

    @cached_property
    def database(self) -> Database:
        """The database of the ledger, and of what is kept beside it."""
        return ledger_database(self.settings)

    @cached_property
    def ledger(self) -> SqlLedger:
        """The ledger of the site."""
        return SqlLedger(self.database, self.clock)

    @cached_property
    def associations(self) -> OpenAssociations:
        """Which associations bring which study."""
        return OpenAssociations()

    @cached_property
    def metrics(self) -> Metrics:
        """What this process counts."""
        return Metrics()

    @cached_property
    def pressure(self) -> Pressure:
        """Whether there is room for more."""
        notice = notice_of(self.settings)
        return Pressure(self.spool, self.ledger, limits_of(self.settings), notice)

    @cached_property
    def queue(self) -> CeleryQueue:
        """The queue on Redis."""
        return CeleryQueue(self.redis_url)

    @cached_property
    def destinations(self) -> dict[str, Destination]:
        """The configured destinations by name."""
        return open_destinations(self.settings)

    def intake(self) -> Intake:
        """What receivers need."""
        return Intake(
            self.spool, self.ledger, self.associations, self.pressure, self.metrics, self.audit
        )

    @cached_property
    def audit(self) -> AuditTrail:
        """The audit trail."""
        return open_audit(self.settings)

    def trail(self) -> StudyTrail | None:
        """What is told of studies, where a site keeps a trail."""
        return open_trail(self.settings, self.ledger, self.spool)

    def serve_metrics(self) -> Callable[[], None]:
        """Answer Prometheus, where a site wants it; return what ends it."""
        names = [each.name for each in self.settings.destinations]
        gauges = Gauges(self.ledger, self.queue, self.pressure, self.clock, names)
        return serve(self.settings.metrics, self.metrics, gauges)

    def reconciler(self) -> Reconciler:
        """What keeps everything moving."""
        attempts = self.settings.worker.max_attempts
        return Reconciler(
            self.ledger,
            self.queue,
            self.clock,
            self.gathering(),
            attempts,
            Watch(self.settings.worker.lease_s),
            listening_since=self.clock.now(),
            trail=self.trail(),
        )

    def gathering(self) -> Gathering:
        """What is known of arriving studies."""
        receiver = self.settings.receiver
        patience, of_source = patiences(receiver)
        looks: dict[Sign, Look] = {}
        if any(Sign.VIEWS in each.signs for each in (patience, *of_source.values())):
            layout = open_bundle(self.settings.model.bundle).manifest.layout
            rules = load_rules(self.settings.series_rules)
            views = [slot.view for slot in layout]
            looks[Sign.VIEWS] = Slots(self.spool, self.ledger, views, rules)
        if receiver.complete.ask is not None:
            looks[Sign.COUNT] = Inquiry(receiver.ae_title, receiver.complete.ask, self.audit)
        aside = ThreadPoolExecutor(len(Sign), "evidence")
        return Gathering(
            self.ledger,
            self.associations,
            patience,
            of_source,
            looks,
            aside,
            self.announcements,
        )

    @cached_property
    def announcements(self) -> SqlAnnouncements:
        """What is announced of studies."""
        return SqlAnnouncements(self.database, self.clock)

    def pruner(self) -> Pruner:
        """What removes that which the site wants kept no longer."""
        return open_pruner(self.settings, self.spool, self.database, self.clock)

    def committer(self) -> Committer:
        """What answers who asks for storage commitment."""
        receiver = self.settings.receiver
        requestors = {
            each.calling: Requestor(receiver.ae_title, each) for each in receiver.commitment
        }
        return Committer(
            requests=SqlCommitments(self.database, self.clock),
            ledger=self.ledger,
            spool=self.spool,
            requestors=requestors,
            aside=ThreadPoolExecutor(COMMITMENTS_AT_ONCE, "commitment"),
            max_attempts=self.settings.worker.max_delivery_attempts,
        )

    def promises(self) -> Promises | None:
        """What takes archives' words on what was sent to them; None where none is asked for."""
        settings = self.settings
        archives = [each for each in settings.destinations if isinstance(each, DicomDestination)]
        reporters = {each.name: each.reporters() for each in archives if each.commitment}
        if not reporters:
            return None
        requests = SqlCommitmentRequests(self.database, self.clock)
        return Promises(self.ledger, requests, reporters)

    def assessor(self) -> Assessor:
        """What an assessing worker needs; opens the model."""
        model = open_model(self.settings, state_folder(self.settings) / CACHE)
        return Assessor(
            spool=self.spool,
            ledger=self.ledger,
            queue=self.queue,
            model=model,
            equipment=equipment(self.settings),
            destinations=media_types(self.settings),
            holder=f"{socket.gethostname()}:{os.getpid()}",
            lease_s=self.settings.worker.lease_s,
            max_attempts=self.settings.worker.max_attempts,
            reports=self.settings.reports,
            similar_cases=self.settings.similar_cases,
            key_frames=self.settings.model.key_frames,
            past=_past_for(self.settings, model),
            rules=load_rules(self.settings.series_rules),
        )

    def deliverer(self) -> Deliverer:
        """What a delivering worker needs."""
        worker = self.settings.worker
        return Deliverer(
            self.ledger,
            self.destinations,
            worker.max_delivery_attempts,
            worker.lease_s,
            random.Random().random,  # noqa: S311 - no secret comes from it
            self.trail(),
            self.promises(),
        )


def patiences(receiver: Receiver) -> tuple[Patience, dict[str, Patience]]:
    """Return how long to wait for studies, and by calling AE title where it is otherwise."""
    complete = receiver.complete
    usual = Patience(
        receiver.quiet_s, complete.settle_s, complete.at_most_s, frozenset(complete.evidence)
    )
    return usual, {each.calling: _patience_with(each, usual) for each in complete.sources}


def _patience_with(source: SourceCompleteness, usual: Patience) -> Patience:
    signs = usual.signs if source.evidence is None else frozenset(source.evidence)
    quiet_s, at_most_s = source.quiet_s or usual.quiet_s, source.at_most_s or usual.at_most_s
    return Patience(quiet_s, usual.settle_s, at_most_s, signs)


def state_folder(settings: Settings) -> Path:
    """Return the state folder, made for its owner alone if it is new."""
    try:
        settings.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"state_dir {settings.state_dir} cannot be made: {error.strerror}"
        ) from None
    return settings.state_dir


def ledger_database(settings: Settings) -> Database:
    """Open the database of a site's ledger, made or brought up to this release where needed."""
    state_folder(settings)
    return open_database(settings)


def open_ledger(settings: Settings, clock: Clock) -> SqlLedger:
    """Open the ledger of a site."""
    return SqlLedger(ledger_database(settings), clock)


def await_ledger(settings: Settings) -> None:
    """Make the ledger, or bring it up to this release; wait for one on a server that is away."""
    while True:
        try:
            ledger_database(settings).close()
        except LedgerUnavailable as error:
            if settings.ledger is None:
                raise
            log.warning("waiting for the ledger", error=str(error))
            time.sleep(LEDGER_PAUSE_S)
        else:
            return


def existing_ledger(settings: Settings) -> SqlLedger:
    """Open the ledger of a site that has run; a mistyped folder must not become a ledger."""
    there = look_at_database(settings)
    if there is None:
        where = settings.state_dir if settings.ledger is None else "the database of `ledger`"
        raise ConfigurationError(
            f"there is no ledger in {where}: has the worker run? is --config right?"
        )
    there.close()
    return open_ledger(settings, SystemClock())


def open_dead_letters(settings: Settings) -> SqlDeadLetters:
    """Open what was given up at a site that has run."""
    return SqlDeadLetters(ledger_database(settings), SystemClock())


def open_spool(settings: Settings) -> Spool:
    """Open the spool of a site; raise ConfigurationError."""
    chosen, ours = settings.spool, state_folder(settings)
    if chosen.bucket is not None:
        return ObjectSpool(_bucket(settings), ours)
    if chosen.folder is None:
        return FileSpool(ours)
    if not chosen.folder.is_dir():  # else a share that is not mounted would be filled beneath it
        raise ConfigurationError(
            f"spool.url {chosen.url} is no folder that is there: is the share mounted? make the "
            "folder on it"
        )
    try:
        return FileSpool(chosen.folder, beside=ours)
    except OSError as error:
        raise ConfigurationError(
            f"spool.url {chosen.url} cannot be written to: {error.strerror}"
        ) from None


def _bucket(settings: Settings) -> "Bucket":
    """Open the bucket of a spool; its client is not installed everywhere."""
    try:
        from triage.store.bucket import Bucket  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"a spool in an object store needs {error.name}: pip install 'cmr-triage[s3]'"
        ) from None
    return Bucket(settings.spool)


def tried_spool(settings: Settings) -> str:
    """Write, read and remove a probe in the spool, and return what it is; raise TriageError.

    A new site has no state folder yet, and gets none by this: who asks may be another user.
    """
    if settings.spool.bucket is not None:
        _bucket(settings).try_out()
    elif settings.spool.url is None and not (settings.state_dir / "spool").is_dir():
        return f"none yet in {settings.state_dir}"
    else:
        open_spool(settings).try_out()
    return f"{settings.spool.url or settings.state_dir} takes, keeps and gives back"


def open_pruner(settings: Settings, spool: Spool, database: Database, clock: Clock) -> Pruner:
    """Return what removes that which a site wants kept no longer."""
    limits = settings.retention.limits
    bundle = settings.model.bundle  # of any: what goes by age goes from all of them
    cases = None if limits.cases_s is None else open_library(settings, open_bundle(bundle))
    trail = open_trail(settings, SqlLedger(database, clock), spool)
    return Pruner(spool, SqlRetention(database, clock), cases, clock, limits, trail)


def limits_of(settings: Settings) -> Limits:
    """Return from where on nothing, or nothing new, is taken in."""
    return Limits(settings.receiver.free_bytes, settings.receiver.waiting_studies)


def notice_of(settings: Settings) -> NoticeFile:
    """Return where a site's receiver says that it refuses, and why."""
    return NoticeFile(settings.state_dir)


def open_destinations(settings: Settings) -> dict[str, Destination]:
    """Return the configured destinations by name; nothing is connected yet."""
    ours = settings.receiver.ae_title
    return {each.name: KINDS[each.kind].opened(ours, each) for each in settings.destinations}


def media_types(settings: Settings) -> Mapping[str, Collection[str]]:
    """Return what the configured destinations take, by name; none is opened for it."""
    return {each.name: KINDS[each.kind].media_types for each in settings.destinations}


def archive_of(settings: Settings, name: str) -> Archive:
    """Return an archive of the settings by its name."""
    if name not in settings.archives:
        names = ", ".join(sorted(settings.archives)) or "none"
        raise ConfigurationError(f"archives of the settings has no {name}; it has {names}")
    return settings.archives[name]


def open_audit(settings: Settings) -> AuditTrail:
    """Open the audit trail of a site; one that keeps none is told all the same."""
    if settings.audit is None:
        return Unrecorded()
    ae_title = settings.receiver.ae_title
    return spool_in(state_folder(settings), settings.audit, ae_title, SystemClock())


def open_trail(settings: Settings, ledger: SqlLedger, spool: Spool) -> StudyTrail | None:
    """Return what is told of studies, where a site keeps a trail."""
    if settings.audit is None:
        return None
    return StudyTrail(open_audit(settings), ledger, spool, peers(settings.destinations))


def open_audit_sender(settings: Settings) -> Sender | None:
    """Return what sends the audit trail of a site, where it keeps one."""
    if settings.audit is None:
        return None
    ae_title = settings.receiver.ae_title
    spool = spool_in(state_folder(settings), settings.audit, ae_title, SystemClock())
    return Sender(spool, transport_of(settings.audit))


@contextmanager
def telling(settings: Settings, audit: AuditTrail, name: str) -> Iterator[None]:
    """Tell the audit trail that a service starts, and that it ends; send the trail meanwhile.

    Every service of a machine has a sender, of which one sends at a time: a machine that only works
    has no receiver to do it.
    """
    sender = open_audit_sender(settings)
    if sender is not None:
        sender.start()
    try:
        with activity(audit, name):
            yield
    finally:
        if sender is not None:
            sender.end(LAST_AUDIT_S)


def open_puller(settings: Settings, name: str, *, to_intake: bool = False) -> pull.Puller:
    """Return what fetches from an archive of the settings; nothing is connected yet.

    What goes on to the intake is told to the audit trail from there.
    """
    known = archive_of(settings, name)
    clock = SystemClock()
    per_hour = known.studies_per_hour
    limits = pull.Limits(
        instances=Pace(known.instances_per_s, clock),
        studies=Pace(None if per_hour is None else per_hour / 3600, clock),
        hours=known.hours,
        attempts=known.attempts,
    )
    archive = audited(
        archives.opened(settings.receiver.ae_title, known),
        known,
        open_audit(settings),
        tells_of_studies=not to_intake,
    )
    return pull.Puller(archive, limits, clock)


def passing_shelf(settings: Settings, name: str) -> PassingShelf:
    """Return where pulled studies are given to the intake, whole, as if received."""
    ledger, spool = existing_ledger(settings), open_spool(settings)
    intake = Intake(spool, ledger)
    archive = archive_of(settings, name)
    source = (
        Source(archive.ae_title, archive.host)
        if isinstance(archive, DicomArchive)
        else Source("", urlsplit(archive.url).hostname or "")
    )

    def accept(path: Path) -> None:
        aside = intake.aside()
        with aside, path.open("rb") as file:
            while piece := file.read(COPIED):
                aside.write(piece)
            aside.close()
            intake.accept_file(aside, source)

    def known(study_uid: str) -> int:
        here = len(ledger.paths(study_uid, ANY_REVISION))
        return max(here, ledger.removed_instances(study_uid))  # what retention removed was here

    # Without a notice: that is the receiver's.
    pressure = Pressure(spool, ledger, limits_of(settings))

    def check_room(study_uid: str) -> None:
        pressure.check_room()
        pressure.check_study(study_uid)

    return PassingShelf(pulled_folder(settings), known, accept, check_room)


def pulled_folder(settings: Settings) -> Path:
    """Return where studies are gathered that go on to the intake."""
    return state_folder(settings) / PULLED


def open_model(settings: Settings, cache: Path | None) -> Model:
    """Open bundle, sessions and prompts; raise ConfigurationError if they do not fit together.

    `cache` is the folder that keeps the prompts' embeddings.
    """
    findings = load_findings(settings.findings)
    bundle = open_bundle(settings.model.bundle)
    views = {slot.view for slot in bundle.manifest.layout}
    for finding in findings.findings:
        if unknown := set(finding.views) - views:
            raise ConfigurationError(
                f"{settings.findings}: finding {finding.id} needs {', '.join(sorted(unknown))}, "
                f"but the bundle knows {', '.join(sorted(views))}"
            )
    known = settings.model
    encoder = OnnxEncoder(bundle, known.provider, known.threads, known.fallback)
    prompts = prompt_embeddings(findings, bundle, encoder, cache)
    fitted = _fitted(settings, bundle)
    return Model(bundle, encoder, findings, questions(findings, bundle, prompts, fitted))


def _fitted(settings: Settings, bundle: Bundle) -> Mapping[str, Fitted]:
    """Return what was fitted; a ledger is neither made nor changed by asking."""
    there = look_at_database(settings)
    if there is None:
        return {}
    with closing(there):
        ours = there.revision() == HEAD  # it is, unless `check` asks before the first start
        return SqlFittings(there).of_bundle(bundle.digest) if ours else {}


def open_fittings(settings: Settings) -> SqlFittings:
    """Open what was fitted from a site's past cases."""
    return SqlFittings(ledger_database(settings))


def _past_for(settings: Settings, model: Model) -> Past | None:
    """Open what an assessor compares with; a library elsewhere that is down holds it not up."""
    if not model.identity.trained:
        return None
    try:
        return open_past(settings, model.bundle)
    except LedgerUnavailable as error:
        log.warning("no past cases until the next start", error=str(error))
        return None


def open_past(settings: Settings, bundle: Bundle) -> Past:
    """Open the cases of a site that this bundle has embedded."""
    return Past(open_library(settings, bundle), secret_in(state_folder(settings)))


def open_library(settings: Settings, bundle: Bundle) -> Library:
    """Open the library of a site's cases."""
    folder = state_folder(settings)
    width = bundle.manifest.sizes.embedding
    if settings.case_library is not None:
        return _shared(settings.case_library, bundle.digest, width)
    return ExactLibrary(
        SqlLedger.database_in(folder), folder / CASES, bundle.digest, width, settings.model.threads
    )


def _shared(url: str, bundle: str, width: int) -> Library:
    """Open a case library on PostgreSQL; what it needs is not installed everywhere."""
    with asking_server("case_library"):
        from triage.store.vector_library import PgVectorLibrary  # noqa: PLC0415

        return PgVectorLibrary(url, bundle, width)


def open_web(settings: Settings, ledger: SqlLedger) -> ASGIApp:
    """Return the page and interface of a site's past cases; opens the model."""
    if not settings.web.users:
        raise ConfigurationError(
            "web.users is empty, so nobody could look: `triage password NAME` makes a line for it"
        )
    model = open_model(settings, state_folder(settings) / CACHE)
    audit = open_audit(settings)
    return build(
        Looks(open_past(settings, model.bundle), ledger, audit),
        model.encoder,
        model.findings.findings,
        Access(settings.web.users, SystemClock(), audit),
        trained=model.identity.trained,
    )


def equipment(settings: Settings) -> Equipment:
    """Return how the worker names itself in what it sends."""
    named = settings.equipment
    return Equipment(
        manufacturer=named.manufacturer,
        name=named.name,
        serial=named.serial,
        software_version=__version__,
    )
