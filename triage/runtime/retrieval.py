"""Opens the retrieval of studies from archives."""

from contextlib import AbstractContextManager
from pathlib import Path
from urllib.parse import urlsplit

from triage import archives
from triage.archives.audited import audit_archive
from triage.concurrency.rate_limit import RateLimit
from triage.config import AnyArchiveSettings, DicomArchiveSettings, Settings
from triage.dimse.storage_classes import AcceptedClasses
from triage.domain.errors import ConfigurationError, NotFound
from triage.domain.instance import Source
from triage.pipeline.audit_events import ANY_REVISION
from triage.pipeline.backpressure import Backpressure
from triage.pipeline.intake import Intake
from triage.pipeline.retrieve import RetrieveLimits, StudyRetriever
from triage.ports.archive import DownloadTarget
from triage.ports.clock import Clock
from triage.runtime.audit import open_audit
from triage.runtime.clock import SystemClock
from triage.runtime.paths import pulled_folder
from triage.runtime.storage import build_backpressure_limits, open_existing_ledger, open_spool
from triage.store.download import FolderDownloadTarget, IntakeDownloadTarget, lock_download_folder

COPY_BYTES = 1 << 20  #: at a time


def find_archive(settings: Settings, name: str) -> AnyArchiveSettings:
    """Return the settings of the archive with this name; raise NotFound."""
    if name not in settings.archives:
        names = ", ".join(sorted(settings.archives)) or "none"
        raise NotFound(f"`archives` in the settings has no {name}; it has {names}")
    return settings.archives[name]


def open_study_retriever(
    settings: Settings, name: str, *, to_intake: bool = False
) -> StudyRetriever:
    """Return the use case that fetches from an archive; nothing is connected yet.

    `to_intake`: the intake records the studies in the audit trail, so retrieval does not.
    """
    configured = find_archive(settings, name)
    archive = audit_archive(
        archives.open_archive(
            settings.receiver.ae_title, configured, AcceptedClasses.of(settings.receiver)
        ),
        configured,
        open_audit(settings),
        records_studies=not to_intake,
    )
    clock = SystemClock()
    return StudyRetriever(archive, _build_limits(configured, clock), clock)


def _build_limits(archive: AnyArchiveSettings, clock: Clock) -> RetrieveLimits:
    per_hour = archive.studies_per_hour
    return RetrieveLimits(
        instances=RateLimit(archive.instances_per_s, clock),
        studies=RateLimit(None if per_hour is None else per_hour / 3600, clock),
        hours=archive.hours,
        attempts=archive.attempts,
    )


def open_download_target(settings: Settings, name: str, into: Path | None) -> DownloadTarget:
    """Return the target for fetched studies: the folder `into`, or the intake if it is None.

    Raises ConfigurationError for a folder inside the state folder.
    """
    if into is None:
        return open_intake_target(settings, name)
    if into.resolve().is_relative_to(settings.state_dir.resolve()):
        raise ConfigurationError(
            f"{into} is inside the state folder, whose studies are assessed: choose another folder"
        )
    return FolderDownloadTarget(into)


def lock_download(settings: Settings, into: Path | None) -> AbstractContextManager[None]:
    """Return a context that reserves the target of `open_download_target` for one command."""
    return lock_download_folder(into or pulled_folder(settings))


def open_intake_target(settings: Settings, name: str) -> IntakeDownloadTarget:
    """Return the target that hands complete studies to the intake, as if received."""
    ledger, spool = open_existing_ledger(settings), open_spool(settings)
    intake = Intake(spool, ledger, corrected=settings.receiver.corrected_study)
    source = _build_source(find_archive(settings, name))

    def accept(path: Path) -> None:
        staged = intake.open_staging_file()
        with staged, path.open("rb") as file:
            while chunk := file.read(COPY_BYTES):
                staged.write(chunk)
            staged.close()
            intake.accept_file(staged, source)

    def count_known(study_uid: str) -> int:
        stored = len(ledger.list_paths(study_uid, ANY_REVISION))
        return max(
            stored, ledger.count_removed_instances(study_uid)
        )  # retention may have removed some

    # Without a notice file, because the receiver writes that file.
    pressure = Backpressure(spool, ledger, build_backpressure_limits(settings))

    def check_room(study_uid: str) -> None:
        pressure.check_room()
        pressure.check_study(study_uid)

    return IntakeDownloadTarget(pulled_folder(settings), count_known, accept, check_room)


def _build_source(archive: AnyArchiveSettings) -> Source:
    """Return the source that the ledger records for instances of an archive."""
    if isinstance(archive, DicomArchiveSettings):
        return Source(archive.ae_title, archive.host)
    return Source("", urlsplit(archive.url).hostname or "")
