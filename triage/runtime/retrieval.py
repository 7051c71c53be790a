"""Opens what retrieves studies from archives."""

from pathlib import Path
from urllib.parse import urlsplit

from triage import archives
from triage.archives.audited import audited
from triage.concurrency.rate_limit import RateLimit
from triage.config import Archive, DicomArchive, Settings
from triage.domain.errors import NotFound
from triage.domain.instance import Source
from triage.pipeline import retrieve as pull
from triage.pipeline.audit_events import ANY_REVISION
from triage.pipeline.backpressure import Backpressure
from triage.pipeline.intake import Intake
from triage.runtime.audit import open_audit
from triage.runtime.clock import SystemClock
from triage.runtime.paths import pulled_folder
from triage.runtime.storage import build_backpressure_limits, open_existing_ledger, open_spool
from triage.store.download import IntakeDownloadTarget

COPIED = 1 << 20  #: bytes at a time


def find_archive(settings: Settings, name: str) -> Archive:
    """Return an archive of the settings by its name."""
    if name not in settings.archives:
        names = ", ".join(sorted(settings.archives)) or "none"
        raise NotFound(f"archives of the settings has no {name}; it has {names}")
    return settings.archives[name]


def open_study_retriever(
    settings: Settings, name: str, *, to_intake: bool = False
) -> pull.StudyRetriever:
    """Return what fetches from an archive of the settings; nothing is connected yet.

    What goes on to the intake is told to the audit trail from there.
    """
    known = find_archive(settings, name)
    clock = SystemClock()
    per_hour = known.studies_per_hour
    limits = pull.RetrieveLimits(
        instances=RateLimit(known.instances_per_s, clock),
        studies=RateLimit(None if per_hour is None else per_hour / 3600, clock),
        hours=known.hours,
        attempts=known.attempts,
    )
    archive = audited(
        archives.opened(settings.receiver.ae_title, known),
        known,
        open_audit(settings),
        tells_of_studies=not to_intake,
    )
    return pull.StudyRetriever(archive, limits, clock)


def open_intake_target(settings: Settings, name: str) -> IntakeDownloadTarget:
    """Return where pulled studies are given to the intake, whole, as if received."""
    ledger, spool = open_existing_ledger(settings), open_spool(settings)
    intake = Intake(spool, ledger)
    archive = find_archive(settings, name)
    source = (
        Source(archive.ae_title, archive.host)
        if isinstance(archive, DicomArchive)
        else Source("", urlsplit(archive.url).hostname or "")
    )

    def accept(path: Path) -> None:
        aside = intake.open_staging_file()
        with aside, path.open("rb") as file:
            while piece := file.read(COPIED):
                aside.write(piece)
            aside.close()
            intake.accept_file(aside, source)

    def known(study_uid: str) -> int:
        here = len(ledger.list_paths(study_uid, ANY_REVISION))
        return max(
            here, ledger.count_removed_instances(study_uid)
        )  # what retention removed was here

    # Without a notice: that is the receiver's.
    pressure = Backpressure(spool, ledger, build_backpressure_limits(settings))

    def check_room(study_uid: str) -> None:
        pressure.check_room()
        pressure.check_study(study_uid)

    return IntakeDownloadTarget(pulled_folder(settings), known, accept, check_room)
