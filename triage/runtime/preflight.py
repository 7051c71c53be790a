"""Checks of a site's settings against its machine, for `triage check` and before a start."""

import os
from contextlib import closing, suppress
from getpass import getuser
from pathlib import Path

from receivers import hl7, stow, tls
from triage.audit import open_audit_transport
from triage.cases.keys import find_secret_problem
from triage.config import Settings
from triage.domain.errors import (
    AuditUnavailable,
    CheckFailed,
    ConfigurationError,
    LedgerUnavailable,
    SpoolFull,
)
from triage.model.bundle import Bundle
from triage.reports import REPORTS
from triage.runtime.databases import open_existing_database
from triage.runtime.destinations import media_types
from triage.runtime.paths import CASES, refuse_interrupted_restore
from triage.runtime.storage import open_past_cases, open_spool
from triage.store.lost_vectors import count_all_cases, count_lost_cases
from triage.store.migrations import HEAD

OTHERS = 0o077  #: the bits of a mode that give access to users other than the owner


def check_certificates(settings: Settings) -> None:
    """Raise ConfigurationError if a certificate of a port or of the audit cannot be used."""
    if settings.receiver.tls is not None:
        tls.create_context(settings.receiver.tls)
    if settings.receiver.stow is not None:
        stow.create_tls_context(settings.receiver.stow)
    if settings.receiver.hl7 is not None:
        hl7.create_tls_context(settings.receiver.hl7)
    if settings.audit is not None:
        open_audit_transport(settings.audit)


def check_reports(settings: Settings) -> None:
    """Raise ConfigurationError for an unknown report, or a destination that takes none of them."""
    for place, name in enumerate(settings.reports):
        if name not in REPORTS:
            raise ConfigurationError(
                f"reports.{place}: there is no report {name!r}; choose from {', '.join(REPORTS)}"
            )
    built = {REPORTS[name].media_type for name in settings.reports}
    for destination, taken in media_types(settings).items():
        if not built & set(taken):
            fitting = [name for name, report in REPORTS.items() if report.media_type in taken]
            raise ConfigurationError(
                f"destination {destination} would receive nothing: it takes {', '.join(fitting)}, "
                "and `reports` has none of these; add one"
            )


def check_spool(settings: Settings) -> None:
    """Raise ConfigurationError if the spool cannot be used, such as a share without hard links.

    A full spool passes, because it may get space again. An object store is probed on first write.
    """
    spool = open_spool(settings)
    if settings.spool.folder is not None:
        with suppress(SpoolFull):
            spool.probe()


def check_watched_folder(settings: Settings) -> None:
    """Raise ConfigurationError if the watched folder is missing or without access rights."""
    folder = settings.receiver.folder
    if folder is not None and not os.access(folder.path, os.R_OK | os.W_OK | os.X_OK):
        raise ConfigurationError(
            f"receiver.folder.path {folder.path} is no folder that {getuser()} may read and write"
        )


def check_past_cases(settings: Settings, bundle: Bundle) -> None:
    """Raise ConfigurationError if the case library cannot be used; a server may be down."""
    with suppress(LedgerUnavailable):
        open_past_cases(settings, bundle)


def check_case_files(settings: Settings) -> str:
    """Return a warning about past cases without vectors in the state folder; empty without any.

    Changes nothing. Raises ConfigurationError if the secret cannot be used beside these cases, or
    if the state folder is being restored.
    """
    refuse_interrupted_restore(settings)
    database = open_existing_database(settings.model_copy(update={"ledger": None}))
    if database is None:
        return ""
    with closing(database):
        if database.revision() != HEAD:  # the first start migrates it
            return ""
        if problem := find_secret_problem(settings.state_dir, count_all_cases(database)):
            raise ConfigurationError(problem)
        lost = count_lost_cases(database, settings.state_dir / CASES)
    if not lost:
        return ""
    return (
        f"{lost} past cases have lost their vectors, because a file of {CASES}/ "
        "was missing or short: searches and reports leave them out. `triage serve` embeds them "
        "again if their images are in the spool; `triage index` does so from a folder of studies"
    )


def check_audit(settings: Settings) -> str:
    """Return the answer of the audit repository; empty if no audit is configured.

    Raises CheckFailed if it does not answer.
    """
    if settings.audit is None:
        return ""
    try:
        return open_audit_transport(settings.audit).check()
    except AuditUnavailable as error:
        raise CheckFailed(f"audit: {error}; messages wait until the repository answers") from None


def is_open_to_others(state_dir: Path) -> bool:
    """Return whether users other than the owner can enter an existing state folder.

    The worker creates all files for its owner alone, but other users could see their names.
    """
    return state_dir.is_dir() and bool(state_dir.stat().st_mode & OTHERS)
