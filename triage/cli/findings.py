"""`triage findings`: what is asked, and fitting what is asked by examples."""

from pathlib import Path

import click
from rich.markup import escape
from rich.table import Table

from triage.cases.fit import HeldOutFit, fit
from triage.cli import terminal
from triage.config import Settings, load
from triage.domain.errors import ConfigurationError, NotFound
from triage.domain.finding import Finding
from triage.findings.loader import load_findings
from triage.model.bundle import open_bundle
from triage.model.encoder import OnnxEncoder
from triage.model.prompts import embed_prompts
from triage.pipeline.model_input import LoadedModel
from triage.runtime.model import open_model
from triage.runtime.storage import open_existing_ledger, open_fittings, open_past_cases


@click.group()
def findings() -> None:
    """Show what is asked of every study, and fit what is asked by examples.

    A finding of the findings file is asked by prompts, by examples, or by both. Examples are past
    cases, which `triage search` finds, by Study UID: 1 to 32 that have the finding and, if you know
    some, others that have not. With `examples: confirmed`, all past cases of which it
    is said whether a radiologist confirmed the finding train a head.

    \b
      - id: apical_thickening
        name: Apical thickening
        views: [cine_lax]
        examples: {present: [1.2.840.1, 1.2.840.2], absent: [1.2.840.3]}
    """


@findings.command("list")
@click.pass_obj
def list_(config: Path | None) -> None:
    """Show every finding: how it is asked, its threshold, and why it would not be evaluated."""
    settings = load(config)
    _tell(open_model(settings, cache=None))


@findings.command("fit")
@click.argument("ids", nargs=-1, metavar="[FINDING]...")
@click.pass_obj
def fit_(config: Path | None, ids: tuple[str, ...]) -> None:
    """Fit findings from their examples, and tell how well each is told. Without a name, all.

    Figures are of cases that had no part in the fit that scored them. What was fitted is used
    from the next start of the workers on, and holds until its prompts or examples change.

    \b
    triage findings fit
    triage findings fit apical_thickening
    """
    settings = load(config)
    open_existing_ledger(settings).close()
    bundle = open_bundle(settings.model.bundle)
    chosen = _chosen(settings, ids)
    encoder = OnnxEncoder(bundle, settings.model.provider, settings.model.threads)
    prompts = embed_prompts(load_findings(settings.findings), bundle, encoder, None)
    library, fittings = open_past_cases(settings, bundle).library, open_fittings(settings)
    for finding in chosen:
        fitted, patients, told = fit(finding, library, prompts.get(finding.id))
        fittings.keep(bundle.digest, fitted, patients)
        _tell_fitted(finding, told)
    terminal.write("restart the workers, and new studies are asked by these examples")


@findings.command()
@click.argument("finding")
@click.pass_obj
def drop(config: Path | None, finding: str) -> None:
    """Remove what was fitted for a FINDING; it is Not Evaluated from the next start on."""
    settings = load(config)
    open_existing_ledger(settings).close()
    bundle = open_bundle(settings.model.bundle)
    if not open_fittings(settings).drop(bundle.digest, finding):
        raise NotFound(f"nothing is fitted for {finding}; see `triage findings list`")
    terminal.write(f"{finding}: what was fitted is gone")


def _chosen(settings: Settings, ids: tuple[str, ...]) -> list[Finding]:
    asked = {each.id: each for each in load_findings(settings.findings).findings if each.examples}
    if unknown := sorted({*ids} - {*asked}):
        raise NotFound(
            f"{settings.findings}: no finding with examples is called {', '.join(unknown)}"
        )
    if not asked:
        raise ConfigurationError(
            f"{settings.findings}: no finding has examples; `triage findings --help` shows how"
        )
    return [asked[id_] for id_ in ids or asked]


def _tell(model: LoadedModel) -> None:
    """Print how each finding is asked of a model, and why it would not be evaluated."""
    table = Table(title=f"{len(model.findings.findings)} finding(s)")
    for heading in ("Finding", "Name", "Asked by", "Threshold", "Not evaluated because"):
        table.add_column(heading, overflow="fold")
    for finding in model.findings.findings:
        question = model.questions[finding.id]
        untrained = "" if model.identity.trained else "model is untrained"
        why_not = untrained or question.why_not
        said = (
            finding.id,
            finding.name,
            _asked_by(finding),
            terminal.figure(question.threshold),
            why_not,
        )
        table.add_row(*map(escape, said))
    terminal.console.print(table)


def _asked_by(finding: Finding) -> str:
    examples = finding.examples
    parts = [f"{len(finding.prompts)} prompt(s)"] if finding.prompts else []
    if examples is not None and examples.confirmed:
        parts.append("all labelled cases")
    elif examples is not None:
        absent = f"{len(examples.absent)} without" if examples.absent else "past cases at large"
        parts.append(f"{len(examples.present)} example(s) with it, {absent}")
    return " and ".join(parts)


def _tell_fitted(finding: Finding, told: HeldOutFit) -> None:
    """Print how well a fit tells the cases that it was not fitted to."""
    terminal.write(f"{finding.id}: fitted from {told.present} with it and {told.absent} without")
    for what, share in (
        ("area under the ROC curve, of cases left out", told.auc),
        ("recognised of those with it, each left out in turn", told.sensitivity),
        ("not flagged of those without it, each left out in turn", told.specificity),
        ("flagged of past cases", told.flagged),
    ):
        terminal.write(f"  {what}: {'not known from so few' if share is None else f'{share:.2f}'}")
