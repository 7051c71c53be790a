"""Opens the model: bundle, ONNX sessions, prompts and fitted findings."""

import hashlib
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import onnxruntime as ort
import structlog

from triage import __version__
from triage.cases.past_cases import PastCases
from triage.config import PACKAGE, Settings
from triage.domain.errors import ConfigurationError, LedgerUnavailable
from triage.domain.finding import FindingSet, explain_missing_views
from triage.model.bundle import Bundle, open_bundle
from triage.model.encoder import OnnxEncoder
from triage.model.first_run import FirstRunLimits, try_bundle
from triage.model.fitted import FittedFinding
from triage.model.prompts import embed_prompts
from triage.model.questions import Questions, build_questions
from triage.pipeline.model_input import FindingTrial, LoadedModel
from triage.ports.encoder import Encoder
from triage.reports.equipment import Equipment
from triage.runtime.databases import open_existing_database
from triage.runtime.findings import SiteFindings, load_site_findings
from triage.runtime.paths import CACHE
from triage.runtime.storage import open_past_cases
from triage.store.fittings import SqlFittings
from triage.store.migrations import HEAD

SHIPPED = PACKAGE / "model" / "bundles"  #: bundles of this release
#: The bundle that was trained on drawn hearts, and the findings that it was calibrated for.
DEMO_BUNDLE, DEMO_FINDINGS = SHIPPED / "demo", PACKAGE / "findings" / "drawn_hearts.yaml"

log = structlog.get_logger(__name__)


def open_model(
    settings: Settings, cache: Path | None, findings: SiteFindings | None = None
) -> LoadedModel:
    """Open bundle, sessions and prompts.

    `cache` is the folder for the embeddings of prompts; None: they are computed anew. `findings`
    None: those that the site uses.
    Raises ConfigurationError if findings and bundle do not match, or the bundle's first run fails.
    """
    bundle = open_site_bundle(settings)
    found = findings or load_site_findings(settings, list_views(bundle))
    _require_views(found, bundle)
    encoder = open_encoder(settings, bundle, cache)
    return _load_questions(settings, cache, found, bundle, encoder)


def change_findings(
    settings: Settings, cache: Path | None, model: LoadedModel, findings: SiteFindings
) -> LoadedModel:
    """Return a loaded model with other findings; raise ConfigurationError if they do not match."""
    _require_views(findings, model.bundle)
    return _load_questions(settings, cache, findings, model.bundle, model.encoder)


def _require_views(found: SiteFindings, bundle: Bundle) -> None:
    """Raise ConfigurationError if a finding needs a view that a bundle does not have."""
    views = list_views(bundle)
    silent = found.silent.findings if found.silent else ()
    for finding in (*found.reported.findings, *silent):
        if missing := explain_missing_views(finding.id, finding.views, views):
            raise ConfigurationError(f"{found.origin}: {missing}")


def _load_questions(
    settings: Settings,
    cache: Path | None,
    found: SiteFindings,
    bundle: Bundle,
    encoder: Encoder,
) -> LoadedModel:
    """Return the model with the questions of the findings, silent ones included."""
    fitted = load_fitted(settings, bundle)

    def build(findings: FindingSet) -> Questions:
        prompts = embed_prompts(findings, bundle, encoder, cache)
        return build_questions(findings, bundle, prompts, fitted)

    trial = None if found.silent is None else FindingTrial(found.silent, build(found.silent))
    mark = settings.model.mark_unfamiliar
    return LoadedModel(bundle, encoder, found.reported, build(found.reported), mark, trial)


def open_site_bundle(settings: Settings) -> Bundle:
    """Open and verify the bundle of the settings, with its signature if they have trusted keys."""
    return open_bundle(settings.model.bundle, settings.model.trusted_keys)


def list_views(bundle: Bundle) -> tuple[str, ...]:
    """Return the views of a bundle, in their order."""
    return tuple(slot.view for slot in bundle.manifest.layout)


def open_encoder(settings: Settings, bundle: Bundle, cache: Path | None = None) -> OnnxEncoder:
    """Open the ONNX sessions of a bundle, after its first run in a process of its own.

    A run that succeeded is recorded in `cache`, and is not repeated; None: it is not recorded.
    """
    chosen = settings.model
    _require_first_run(settings, bundle, cache)
    return OnnxEncoder(bundle, chosen.provider, chosen.threads, chosen.fallback)


def _require_first_run(settings: Settings, bundle: Bundle, cache: Path | None) -> None:
    """Try a bundle that this release does not include, unless it was tried before."""
    if bundle.path.resolve().is_relative_to(SHIPPED):
        return
    chosen = settings.model
    what = f"{bundle.digest} {ort.__version__} {chosen.first_run_s} {chosen.first_run_bytes}"
    name = f"first-run-{hashlib.sha256(what.encode()).hexdigest()}"
    if (settings.state_dir / CACHE / name).exists():
        return
    try_bundle(bundle, FirstRunLimits(chosen.first_run_s, chosen.first_run_bytes, chosen.threads))
    if cache is not None:
        cache.mkdir(mode=0o700, parents=True, exist_ok=True)
        (cache / name).touch()


def load_fitted(settings: Settings, bundle: Bundle) -> Mapping[str, FittedFinding]:
    """Return the fitted findings by id, without creating or changing a ledger."""
    database = open_existing_database(settings)
    if database is None:
        return {}
    with closing(database):
        is_current = database.revision() == HEAD  # not yet if `check` runs before the first start
        return SqlFittings(database).find_by_bundle(bundle.digest) if is_current else {}


def open_past_cases_for_worker(settings: Settings, model: LoadedModel) -> PastCases | None:
    """Open the past cases for an assessor; None if untrained or if their server is down."""
    if not model.identity.trained:
        return None
    try:
        return open_past_cases(settings, model.bundle)
    except LedgerUnavailable as error:
        log.warning("past cases are off until the next start", error=str(error))
        return None


def build_equipment(settings: Settings) -> Equipment:
    """Return how the worker identifies itself in the objects that it sends."""
    configured = settings.equipment
    return Equipment(
        manufacturer=configured.manufacturer,
        name=configured.name,
        serial=configured.serial,
        software_version=__version__,
    )
