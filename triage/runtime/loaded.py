"""Records the bundle and findings of an assessing worker, so that `triage check` can compare."""

import os
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from triage import __version__
from triage.config import Settings
from triage.domain.errors import CheckFailed
from triage.domain.loaded import LoadedFinding, LoadedParts
from triage.domain.reasons import ReasonCode, because
from triage.pipeline.model_input import LoadedModel
from triage.runtime.paths import state_folder

FILE = "loaded.json"  #: in the state folder; the worker that started last has written it
FORM = TypeAdapter(LoadedParts)


def describe_loaded(model: LoadedModel) -> LoadedParts:
    """Return what a loaded model answers."""
    manifest = model.bundle.manifest
    findings = []
    for finding in model.findings.findings:
        question = model.questions[finding.id]
        why_not = None if manifest.trained else because(ReasonCode.MODEL_UNTRAINED)
        why_not = why_not or question.why_not
        threshold = question.threshold if why_not is None else None
        by_views = {
            views: known.threshold
            for views, known in (question.by_views or {}).items()
            if why_not is None and known.threshold is not None
        }
        findings.append(
            LoadedFinding(finding.id, finding.name, threshold, str(why_not or ""), by_views)
        )
    return LoadedParts(
        version=__version__,
        bundle=f"{manifest.name} {manifest.version}",
        bundle_digest=model.bundle.digest,
        findings_digest=model.findings.digest,
        findings=tuple(findings),
    )


def record_loaded(settings: Settings, model: LoadedModel) -> None:
    """Write what this worker has loaded to the state folder."""
    path = state_folder(settings) / FILE
    staging = path.with_name(f"{FILE}.{os.getpid()}.part")
    staging.write_bytes(FORM.dump_json(describe_loaded(model)))
    staging.replace(path)


def read_loaded(settings: Settings) -> LoadedParts | None:
    """Return what the worker that started last has loaded; None if none has started.

    Raises CheckFailed for a file that another release has written in another form.
    """
    path: Path = settings.state_dir / FILE
    try:
        return FORM.validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError:
        raise CheckFailed(
            f"{path} is not readable by this release: the next start of the worker writes it anew"
        ) from None
