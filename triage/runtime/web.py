"""Opens the web pages of a site."""

from starlette.types import ASGIApp

from triage.cases.case_access import CaseAccess
from triage.config import Settings
from triage.domain.errors import ConfigurationError
from triage.runtime.audit import open_audit
from triage.runtime.clock import SystemClock
from triage.runtime.model import open_model
from triage.runtime.paths import CACHE, state_folder
from triage.runtime.storage import open_past_cases
from triage.store.ledger import SqlLedger
from triage.web.access import WebAccess
from triage.web.app import build


def open_web(settings: Settings, ledger: SqlLedger) -> ASGIApp:
    """Return the web application for past cases; opens the model."""
    if not settings.web.users:
        raise ConfigurationError(
            "web.users is empty, so no user could log in: `triage password NAME` prints a line "
            "for it"
        )
    model = open_model(settings, state_folder(settings) / CACHE)
    audit = open_audit(settings)
    return build(
        CaseAccess(open_past_cases(settings, model.bundle), ledger, audit),
        model.encoder,
        model.findings.findings,
        WebAccess(settings.web.users, SystemClock(), audit),
        trained=model.identity.trained,
    )
