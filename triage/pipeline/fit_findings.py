"""Use case: fit findings from their examples among the past cases."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from triage.cases.fit import fit
from triage.cases.held_out import HeldOutFit
from triage.domain.errors import NotFound
from triage.domain.finding import Finding, FindingSet
from triage.model.bundle import Bundle
from triage.model.fitted import FittedFinding
from triage.model.prompts import PromptEmbeddings
from triage.ports.library import Library


class FittedFindings(Protocol):
    """The store of fitted findings."""

    def save(self, bundle: str, fitted: FittedFinding, patients: Sequence[str]) -> None:
        """Replace the fit of a finding; `patients` are those of its examples."""


def choose_findings(findings: FindingSet, ids: Sequence[str], origin: str) -> list[Finding]:
    """Return the findings with examples that `ids` names, all of them if it is empty.

    `origin` names the file or ledger of the findings, for messages. Raises NotFound.
    """
    fittable = {finding.id: finding for finding in findings.findings if finding.examples}
    if unknown := sorted({*ids} - {*fittable}):
        raise NotFound(f"{origin}: no finding with examples is called {', '.join(unknown)}")
    if not fittable:
        raise NotFound(f"{origin}: no finding has examples; `triage findings --help` shows how")
    return [fittable[id_] for id_ in ids or fittable]


@dataclass(frozen=True)
class FindingFitter:
    """Fits findings for one bundle."""

    bundle: Bundle
    library: Library
    fittings: FittedFindings
    prompts: PromptEmbeddings  #: (p, D) by finding id

    def fit(self, finding: Finding) -> HeldOutFit:
        """Fit one finding and store the fit; return its figures on cases left out of the fit."""
        fitted, patients, figures = fit(
            finding, self.library, self.prompts.get(finding.id), self.bundle.manifest.clip
        )
        self.fittings.save(self.bundle.digest, fitted, patients)
        return figures
