"""`triage findings`: list, check and fit the findings."""

from pathlib import Path

import click
from rich.table import Table

from triage.cases.held_out import HeldOutFit
from triage.cli import terminal
from triage.cli.finding_changes import COMMANDS
from triage.cli.findings_calibrate import calibrate_command
from triage.cli.findings_lint import lint_command
from triage.domain.calibration import CalibrationPolicy
from triage.domain.errors import NotFound
from triage.domain.finding import Finding
from triage.domain.reasons import ReasonCode, because
from triage.model.questions import Question
from triage.pipeline.fit_findings import choose_findings
from triage.pipeline.model_input import LoadedModel
from triage.runtime.cases import build_finding_fitter
from triage.runtime.findings import load_site_findings
from triage.runtime.model import open_model, open_site_bundle
from triage.runtime.settings import load_settings
from triage.runtime.storage import open_existing_ledger, open_fittings


@click.group(short_help="List, check, change, try and fit the findings.")
def findings() -> None:
    """List, change and try the findings that every study is checked for.

    The findings are in the findings file of the settings until `triage findings import` brings them
    into the ledger. There every finding goes from draft through silent and active to retired, and
    all its versions are kept.

    A finding in the findings file is detected by prompts, by examples, or by both. Examples are
    Study UIDs of past cases, which `triage search` finds: 1 to 32 that have the finding, and, if
    you know some, others that do not have it. A study is flagged only if examples of 10 patients
    with it, and of 10 without it, show the same views. With `examples: confirmed`, a classifier is
    trained on all past cases that radiologists labelled as confirmed or not.

    \b
      - id: apical_thickening
        name: Apical thickening
        views: [cine_lax]
        examples: {present: [1.2.840.1, 1.2.840.2], absent: [1.2.840.3]}
    """


for _command in (lint_command, *COMMANDS, calibrate_command):
    findings.add_command(_command)


@findings.command("list", short_help="List every finding and how it is detected.")
@click.pass_obj
def list_(config: Path | None) -> None:
    """List every finding: how it is detected, its threshold, and why it is not evaluated.

    \b
    Example:
      triage --config triage.yaml findings list
    """
    _print_findings(open_model(load_settings(config), cache=None))


@findings.command("fit", short_help="Fit findings from their examples.")
@click.argument("ids", nargs=-1, metavar="[FINDING]...")
@click.pass_obj
def fit_(config: Path | None, ids: tuple[str, ...]) -> None:
    """Fit findings from their examples, and show how well each is recognised. Default: all.

    The figures are of cases that were left out of the fit that scored them. The workers use a new
    fit from their next start on, until its prompts or examples change.

    \b
    Examples:
      triage findings fit
      triage findings fit apical_thickening
    """
    settings = load_settings(config)
    open_existing_ledger(settings).close()
    findings = load_site_findings(settings)
    chosen = choose_findings(findings.fittable, ids, findings.origin)
    fitter = build_finding_fitter(settings)
    for finding in chosen:
        _print_fit(finding, fitter.fit(finding))
    terminal.write("restart the workers: from then on new studies are checked with these fits")


@findings.command(short_help="Remove the fit of a finding.")
@click.argument("finding")
@click.pass_obj
def drop(config: Path | None, finding: str) -> None:
    """Remove the fit of a FINDING; it is Not Evaluated from the next start of the workers on.

    \b
    Example:
      triage findings drop apical_thickening
    """
    settings = load_settings(config)
    open_existing_ledger(settings).close()
    bundle = open_site_bundle(settings)
    if not open_fittings(settings).remove(bundle.digest, finding):
        raise NotFound(f"{finding} has no fit to remove; see `triage findings list`")
    terminal.write(f"{finding}: its fit is removed")


def _print_findings(model: LoadedModel) -> None:
    """Print how a model detects each finding, and why it would not be evaluated."""
    table = Table(title=f"{len(model.findings.findings)} finding(s)")
    for heading in (
        "Finding",
        "Name",
        "Detected by",
        "Threshold",
        "Set by",
        "Not evaluated because",
    ):
        table.add_column(heading, overflow="fold")
    for finding in model.findings.findings:
        question = model.questions[finding.id]
        untrained = None if model.identity.trained else because(ReasonCode.MODEL_UNTRAINED)
        row = (
            finding.id,
            finding.name,
            _describe_method(finding),
            _describe_threshold(question),
            _describe_policy(model, question, finding),
            str(untrained or question.why_not or ""),
        )
        terminal.add_plain_row(table, *row)
    terminal.console.print(table)


def _describe_threshold(question: Question) -> str:
    if question.threshold is None and question.by_views:
        return "by views"
    return terminal.format_score(question.threshold)


def _describe_policy(model: LoadedModel, question: Question, finding: Finding) -> str:
    """Return what sets the thresholds of a finding; blank without thresholds."""
    if question.why_not is not None:
        return ""
    if finding.examples is not None:
        return "fit"
    return str(model.findings.calibrations.get(finding.id, CalibrationPolicy.BUNDLE))


def _describe_method(finding: Finding) -> str:
    """Return how a finding is detected, as in "3 prompt(s) and all labelled cases"."""
    examples = finding.examples
    parts = [f"{len(finding.prompts)} prompt(s)"] if finding.prompts else []
    if examples is not None and examples.confirmed:
        parts.append("all labelled cases")
    elif examples is not None:
        absent = f"{len(examples.absent)} without" if examples.absent else "other past cases"
        parts.append(f"{len(examples.present)} example(s) with it, {absent}")
    return " and ".join(parts)


def _print_fit(finding: Finding, figures: HeldOutFit) -> None:
    """Print how well a fit recognises the cases that were left out of it."""
    present, absent = figures.present, figures.absent
    terminal.write(f"{finding.id}: fitted from {present} with it and {absent} without")
    sets = "; ".join(name.replace("+", ", ") for name in figures.views)
    terminal.write(f"  flags only studies that show exactly these views: {sets or 'none'}")
    for description, share in (
        ("area under the ROC curve, for cases left out", figures.auc),
        ("sensitivity: flagged among those with it, each left out in turn", figures.sensitivity),
        ("specificity: not flagged among those without it, likewise", figures.specificity),
        ("flagged among past cases", figures.flagged),
    ):
        value = "not known, there are too few" if share is None else f"{share:.2f}"
        terminal.write(f"  {description}: {value}")
