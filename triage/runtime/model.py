"""Opens the model: bundle, sessions, prompts and fitted findings."""

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import structlog

from triage import __version__
from triage.cases.past_cases import PastCases
from triage.config import Settings
from triage.domain.errors import ConfigurationError, LedgerUnavailable
from triage.findings.loader import load_findings
from triage.model.bundle import Bundle, open_bundle
from triage.model.encoder import OnnxEncoder
from triage.model.fitted import FittedFinding
from triage.model.prompts import embed_prompts
from triage.model.questions import build_questions
from triage.pipeline.model_input import LoadedModel
from triage.reports.equipment import Equipment
from triage.runtime.databases import open_existing_database
from triage.runtime.storage import open_past_cases
from triage.store.fittings import SqlFittings
from triage.store.migrations import HEAD

log = structlog.get_logger(__name__)


def open_model(settings: Settings, cache: Path | None) -> LoadedModel:
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
    prompts = embed_prompts(findings, bundle, encoder, cache)
    fitted = _load_fitted(settings, bundle)
    return LoadedModel(
        bundle, encoder, findings, build_questions(findings, bundle, prompts, fitted)
    )


def _load_fitted(settings: Settings, bundle: Bundle) -> Mapping[str, FittedFinding]:
    """Return what was fitted; a ledger is neither made nor changed by asking."""
    there = open_existing_database(settings)
    if there is None:
        return {}
    with closing(there):
        ours = there.revision() == HEAD  # it is, unless `check` asks before the first start
        return SqlFittings(there).of_bundle(bundle.digest) if ours else {}


def open_past_cases_for_worker(settings: Settings, model: LoadedModel) -> PastCases | None:
    """Open what an assessor compares with; a library elsewhere that is down holds it not up."""
    if not model.identity.trained:
        return None
    try:
        return open_past_cases(settings, model.bundle)
    except LedgerUnavailable as error:
        log.warning("no past cases until the next start", error=str(error))
        return None


def build_equipment(settings: Settings) -> Equipment:
    """Return how the worker names itself in what it sends."""
    named = settings.equipment
    return Equipment(
        manufacturer=named.manufacturer,
        name=named.name,
        serial=named.serial,
        software_version=__version__,
    )
