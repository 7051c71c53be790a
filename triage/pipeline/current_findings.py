"""A worker that assesses each study with the findings that are in use when it begins.

Before each study it compares one number with the ledger. If a user has changed the findings, it
loads them; the bundle stays as it is. It takes no change while it assesses, so that all answers of
a report are of one set of findings, and the report names their versions.

If the findings cannot be loaded, the worker goes on with those that it has, whose versions its
reports name, and reports an incident for each such change.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import structlog

from triage.domain.errors import ConfigurationError
from triage.domain.incident import IncidentKind
from triage.domain.instance import Source
from triage.pipeline.assess import Assessor
from triage.pipeline.model_input import LoadedModel
from triage.ports.findings import FindingLedger
from triage.ports.incidents import IncidentLedger

log = structlog.get_logger(__name__)


@dataclass
class CurrentAssessor:
    """An assessor whose findings follow the ledger."""

    assessor: Assessor
    findings: FindingLedger
    incidents: IncidentLedger
    revision: int  #: of the findings that the assessor has
    #: returns a model with the present findings; raises ConfigurationError
    load: Callable[[LoadedModel], LoadedModel]

    def assess(self, study_uid: str, revision: int) -> None:
        """Assess a READY study with the present findings; raise LedgerUnavailable."""
        self._follow()
        self.assessor.assess(study_uid, revision)

    def handle_error(self, study_uid: str, revision: int, error: BaseException) -> None:
        """Release a study after an unforeseen error, or set it aside after the last attempt."""
        self.assessor.handle_error(study_uid, revision, error)

    def _follow(self) -> None:
        """Load the findings if they were changed since the last study."""
        revision = self.findings.get_revision()
        if revision == self.revision:
            return
        try:
            model = self.load(self.assessor.model)
        except ConfigurationError as error:
            log.warning(
                "the findings cannot be loaded, the earlier ones stay in use", why=str(error)
            )
            detail = f"revision {revision} of the findings: {error}"
            source = Source("", self.assessor.holder)
            self.incidents.report_incident(IncidentKind.FINDINGS_NOT_LOADED, detail, source)
        else:
            self.assessor = replace(self.assessor, model=model)
            log.info("findings loaded", revision=revision, digest=model.findings.digest)
        self.revision = revision
