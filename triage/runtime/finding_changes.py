"""Opens what changes findings, and describes the effect of a change."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager

from triage.config import Settings
from triage.domain.finding_version import FindingVersion
from triage.domain.loaded import describe_changes
from triage.domain.reasons import Reason
from triage.findings.content import build_finding_set
from triage.model.questions import explain_not_evaluated
from triage.pipeline.change_findings import FindingEditor
from triage.runtime.audit import open_audit
from triage.runtime.clock import SystemClock
from triage.runtime.findings import SiteFindings
from triage.runtime.loaded import describe_loaded
from triage.runtime.model import (
    change_findings,
    list_views,
    load_fitted,
    open_model,
    open_site_bundle,
)
from triage.runtime.storage import open_existing_ledger, open_ledger_database
from triage.store.findings import SqlFindings


@contextmanager
def open_finding_editor(settings: Settings) -> Iterator[FindingEditor]:
    """Yield the use case that changes findings, at a site that has run.

    Raises NotFound if there is no ledger.
    """
    open_existing_ledger(settings).close()  # a mistyped folder must not become one
    views = list_views(open_site_bundle(settings))
    with closing(SqlFindings(open_ledger_database(settings))) as ledger:
        yield FindingEditor(
            ledger,
            open_audit(settings),
            SystemClock(),
            views,
            settings.two_person_approval,
            settings.calibration.report_from,
        )


def explain_silence(settings: Settings, versions: Sequence[FindingVersion]) -> Mapping[str, Reason]:
    """Return why versions of findings would be Not Evaluated in every study, by finding id.

    Opens no session of the model. Raises ConfigurationError.
    """
    bundle = open_site_bundle(settings)
    findings = build_finding_set(versions)
    return explain_not_evaluated(findings, bundle, load_fitted(settings, bundle))


def describe_effect(
    settings: Settings, before: FindingVersion, after: FindingVersion
) -> Sequence[str]:
    """Return what differs in the answers of two versions of a finding; opens the model.

    Raises ConfigurationError for a view that the model does not have.
    """
    one, other = (
        SiteFindings(build_finding_set([version]), None, f"version {version.number}")
        for version in (before, after)
    )
    model = open_model(settings, None, one)
    changed = change_findings(settings, None, model, other)
    return describe_changes(describe_loaded(model), describe_loaded(changed))
