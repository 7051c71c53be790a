"""Builds the use cases on past cases."""

from triage.cases.case_access import CaseAccess
from triage.cases.readings.report_index import ReportIndex
from triage.config import Settings
from triage.domain.errors import ConfigurationError
from triage.imaging.rules import load_rules
from triage.model.bundle import Bundle
from triage.model.prompts import embed_prompts
from triage.pipeline.backfill import Indexer
from triage.pipeline.fit_findings import FindingFitter
from triage.pipeline.forget_patient import PatientForgetter
from triage.pipeline.model_input import Read
from triage.ports.library import Library
from triage.runtime.audit import open_audit
from triage.runtime.findings import load_site_findings
from triage.runtime.model import open_encoder, open_model, open_site_bundle
from triage.runtime.paths import FORGETTING, state_folder
from triage.runtime.storage import (
    open_existing_ledger,
    open_fittings,
    open_library,
    open_past_cases,
)
from triage.store.fittings import SqlFittings
from triage.store.forget_journal import FileForgetJournal


def open_case_access(settings: Settings, bundle: Bundle) -> CaseAccess:
    """Return the audited access to the past cases of a site that has run."""
    ledger = open_existing_ledger(settings)
    return CaseAccess(open_past_cases(settings, bundle), ledger, open_audit(settings))


def build_patient_forgetter(settings: Settings) -> PatientForgetter:
    """Return the use case of `triage forget` at a site that has run.

    Besides the stores in use it clears those in the state folder, which the site may have used
    before it shared a case library or a ledger.
    """
    ledger = open_existing_ledger(settings)
    bundle = open_site_bundle(settings)
    past = open_past_cases(settings, bundle)
    local = settings.model_copy(update={"case_library": None, "ledger": None})
    libraries: list[Library] = [past.library]
    if settings.case_library is not None:
        libraries.append(open_library(local, bundle))
    fittings: list[SqlFittings] = [open_fittings(settings)]
    if settings.ledger is not None:
        fittings.append(open_fittings(local))
    journal = FileForgetJournal(state_folder(settings) / FORGETTING)
    return PatientForgetter(past, libraries, fittings, ledger, open_audit(settings), journal)


def build_finding_fitter(settings: Settings) -> FindingFitter:
    """Return the use case of `triage findings fit`; opens the model."""
    bundle = open_site_bundle(settings)
    encoder = open_encoder(settings, bundle)
    prompts = embed_prompts(load_site_findings(settings).fittable, bundle, encoder, None)
    library = open_past_cases(settings, bundle).library
    return FindingFitter(bundle, library, open_fittings(settings), prompts)


def build_indexer(settings: Settings, read: Read, reports: ReportIndex, *, again: bool) -> Indexer:
    """Return the use case of `triage index`; opens the model.

    `read` returns the bytes of a file of the studies. `again`: also embed what is a case already.
    Raises ConfigurationError for an untrained bundle.
    """
    model = open_model(settings, cache=None)
    if not model.identity.trained:
        raise ConfigurationError(
            "the bundle is untrained, so its similarities mean nothing: set model.bundle to a "
            "trained bundle"
        )
    past = open_past_cases(settings, model.bundle)
    return Indexer(model, past, load_rules(settings.series_rules), read, reports, reindex=again)
