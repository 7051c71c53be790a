"""Opens the stores of a site: ledger, spool, case library and fitted findings."""

import time
from typing import TYPE_CHECKING

import structlog

from triage.cases.keys import load_secret
from triage.cases.past_cases import PastCases
from triage.config import Settings
from triage.domain.errors import ConfigurationError, LedgerUnavailable, NotFound
from triage.model.bundle import Bundle, open_bundle
from triage.pipeline.backpressure import BackpressureLimits, NoticeFile
from triage.pipeline.quarantine import QuarantineLimits
from triage.pipeline.retention import RetentionRunner
from triage.ports.clock import Clock
from triage.ports.library import Library
from triage.ports.spool import Spool
from triage.runtime.audit import open_study_trail
from triage.runtime.clock import SystemClock
from triage.runtime.databases import explain_database_errors, open_database, open_existing_database
from triage.runtime.paths import CASES, state_folder
from triage.store.database import Database
from triage.store.dead_letters import SqlDeadLetters
from triage.store.fittings import SqlFittings
from triage.store.ledger import SqlLedger
from triage.store.library import ExactLibrary
from triage.store.object_spool import ObjectSpool
from triage.store.overview import SqlOverview
from triage.store.resending import SqlResending
from triage.store.retention import SqlRetention
from triage.store.spool import FileSpool

if TYPE_CHECKING:  # the S3 client is an optional dependency
    from triage.store.bucket import Bucket

log = structlog.get_logger(__name__)

LEDGER_PAUSE_S = 2.0  #: between two attempts to reach the ledger at the start


def open_ledger_database(settings: Settings) -> Database:
    """Open the database of the ledger, created or migrated to this release if needed."""
    state_folder(settings)
    return open_database(settings)


def open_ledger(settings: Settings, clock: Clock) -> SqlLedger:
    """Open the ledger of a site, created or migrated if needed."""
    return SqlLedger(open_ledger_database(settings), clock)


def await_ledger(settings: Settings) -> None:
    """Create or migrate the ledger; wait while its PostgreSQL server does not answer."""
    while True:
        try:
            open_ledger_database(settings).close()
        except LedgerUnavailable as error:
            if settings.ledger is None:
                raise
            log.warning("waiting for the ledger", error=str(error))
            time.sleep(LEDGER_PAUSE_S)
        else:
            return


def open_existing_ledger(settings: Settings) -> SqlLedger:
    """Open a ledger that exists; raise NotFound, so that no mistyped folder becomes one."""
    existing = open_existing_database(settings)
    if existing is None:
        where = settings.state_dir if settings.ledger is None else "the database of `ledger`"
        raise NotFound(f"there is no ledger in {where}: start the worker first, or check --config")
    existing.close()
    return open_ledger(settings, SystemClock())


def open_dead_letters(settings: Settings) -> SqlDeadLetters:
    """Open the dead letters: deliveries that were given up."""
    return SqlDeadLetters(open_ledger_database(settings), SystemClock())


def open_resending(settings: Settings) -> SqlResending:
    """Open the deliveries that a person has sent again."""
    return SqlResending(open_ledger_database(settings), SystemClock())


def open_overview(settings: Settings) -> SqlOverview:
    """Open what `triage status` shows of studies."""
    return SqlOverview(open_ledger_database(settings))


def open_spool(settings: Settings) -> Spool:
    """Open the spool of a site; raise ConfigurationError."""
    chosen, state_dir = settings.spool, state_folder(settings)
    if chosen.bucket is not None:
        return ObjectSpool(_open_bucket(settings), state_dir)
    if chosen.folder is None:
        return FileSpool(state_dir)
    if not chosen.folder.is_dir():  # never fill the mount point of a share that is not mounted
        raise ConfigurationError(
            f"spool.url {chosen.url} is no existing folder: check that the share is mounted, and "
            "create the folder on it"
        )
    try:
        return FileSpool(chosen.folder, beside=state_dir)
    except OSError as error:
        raise ConfigurationError(
            f"spool.url {chosen.url} cannot be written to: {error.strerror}"
        ) from None


def _open_bucket(settings: Settings) -> "Bucket":
    """Open the bucket of a spool; the S3 client is an optional dependency."""
    try:
        from triage.store.bucket import Bucket  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"a spool in an object store needs {error.name}: pip install 'cmr-triage[s3]'"
        ) from None
    return Bucket(settings.spool)


def probe_spool(settings: Settings) -> str:
    """Write, read and remove a probe in the spool; return a description of the spool.

    A new site has no state folder yet, and none is created: `check` may run as another user.
    Raises TriageError.
    """
    if settings.spool.bucket is not None:
        _open_bucket(settings).probe()
    elif settings.spool.url is None and not (settings.state_dir / "spool").is_dir():
        return f"none yet in {settings.state_dir}"
    else:
        open_spool(settings).probe()
    return f"{settings.spool.url or settings.state_dir} writes, keeps and reads back"


def build_retention_runner(
    settings: Settings, spool: Spool, database: Database, clock: Clock
) -> RetentionRunner:
    """Return the use case that removes data by the `retention` settings."""
    limits = settings.retention.limits
    chosen = settings.model  # any bundle: removal by age covers all of them
    bundle = None if limits.cases_s is None else open_bundle(chosen.bundle, chosen.trusted_keys)
    cases = None if bundle is None else open_library(settings, bundle)
    trail = open_study_trail(settings, SqlLedger(database, clock), spool)
    return RetentionRunner(spool, SqlRetention(database, clock), cases, clock, limits, trail)


def open_retention_runner(settings: Settings) -> RetentionRunner:
    """Open the stores of a site and return the use case that removes data from them."""
    database = open_ledger_database(settings)
    return build_retention_runner(settings, open_spool(settings), database, SystemClock())


def build_backpressure_limits(settings: Settings) -> BackpressureLimits:
    """Return the limits at which instances, or new studies, are refused."""
    return BackpressureLimits(settings.receiver.free_bytes, settings.receiver.waiting_studies)


def build_quarantine_limits(settings: Settings) -> QuarantineLimits:
    """Return the most that is kept of refused instances."""
    receiver = settings.receiver
    return QuarantineLimits(receiver.quarantine_bytes, receiver.quarantine_files)


def open_notice_file(settings: Settings) -> NoticeFile:
    """Return the file in which the receiver records that it refuses instances, and why."""
    return NoticeFile(settings.state_dir)


def open_library(settings: Settings, bundle: Bundle) -> Library:
    """Open the library of past cases."""
    folder = state_folder(settings)
    width = bundle.manifest.sizes.embedding
    if settings.case_library is not None:
        return _open_shared_library(settings.case_library, bundle.digest, width)
    return ExactLibrary(
        SqlLedger.database_in(folder), folder / CASES, bundle.digest, width, settings.model.threads
    )


def _open_shared_library(url: str, bundle: str, width: int) -> Library:
    """Open a case library on PostgreSQL; its client is an optional dependency."""
    with explain_database_errors("case_library"):
        from triage.store.vector_library import PgVectorLibrary  # noqa: PLC0415

        return PgVectorLibrary(url, bundle, width)


def open_past_cases(settings: Settings, bundle: Bundle) -> PastCases:
    """Open the past cases that this bundle has embedded.

    Raises ConfigurationError if there are cases and their secret is missing.
    """
    library = open_library(settings, bundle)
    cases = library.count_cases() or sum(1 for _ in library.list_study_uids_of_other_bundles())
    return PastCases(library, load_secret(state_folder(settings), cases))


def open_fittings(settings: Settings) -> SqlFittings:
    """Open the findings that were fitted from past cases."""
    return SqlFittings(open_ledger_database(settings))
