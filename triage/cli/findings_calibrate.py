"""`triage findings calibrate`: thresholds of a finding that this site sets itself."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from triage.cli import terminal
from triage.cli.finding_changes import (
    author_option,
    comment_option,
    finding_argument,
    list_known_versions,
    print_change,
)
from triage.domain.calibration import (
    CalibrationPolicy,
    CalibrationTarget,
    SiteThreshold,
    TargetKind,
)
from triage.domain.finding_version import FindingVersion
from triage.pipeline.calibrate_findings import (
    CalibrationProposal,
    describe_left_out,
    name_views,
)
from triage.runtime.finding_calibration import propose_calibration
from triage.runtime.finding_changes import open_finding_editor
from triage.runtime.settings import load_settings

FIGURES = "sensitivity=0.9, specificity=0.95, ppv=0.5 or equal-error"
BUDGET = "5/week or 2%"


def _parse_figure(text: str) -> CalibrationTarget:
    kind, _, value = text.partition("=")
    target = CalibrationTarget(TargetKind(kind.strip()), float(value) if value else 0.0)
    if target.policy is not CalibrationPolicy.LABELLED:
        raise ValueError(text)
    return target


def _parse_budget(text: str) -> CalibrationTarget:
    if text.endswith("%"):
        return CalibrationTarget(TargetKind.SHARE, float(text[:-1]) / 100)
    value, _, unit = text.partition("/")
    if unit.strip() != "week":
        raise ValueError(text)
    return CalibrationTarget(TargetKind.FLAGS_A_WEEK, float(value))


def _target_option(
    name: str, parameter: str, parse: Callable[[str], CalibrationTarget], examples: str, text: str
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    def read(
        _context: click.Context, _option: click.Parameter, value: str | None
    ) -> CalibrationTarget | None:
        try:
            return None if value is None else parse(value.strip())
        except ValueError:
            raise click.BadParameter(f"{value}: give {examples}") from None

    return click.option(name, parameter, callback=read, metavar="TARGET", help=text)


@dataclass(frozen=True)
class CalibrationOptions:
    """The policy that the options of the command name."""

    labels: Path | None
    figure: CalibrationTarget | None
    budget: CalibrationTarget | None
    bundle: bool
    dry_run: bool

    def choose_target(self) -> CalibrationTarget | None:
        """Return the target, None for the bundle; raise UsageError unless it is one policy."""
        if (self.labels is None) is not (self.figure is None):
            raise click.UsageError("--labels and --for belong together")
        if sum((self.figure is not None, self.budget is not None, self.bundle)) != 1:
            raise click.UsageError("give one of --labels with --for, --budget, or --bundle")
        return self.figure or self.budget


@click.command("calibrate", short_help="Set the thresholds of a finding at this site.")
@finding_argument
@click.option(
    "--labels",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="CSV: study_uid or accession, and a column FINDING with 1 (has it), 0 (has it not).",
)
@_target_option("--for", "figure", _parse_figure, FIGURES, f"With --labels: {FIGURES}.")
@_target_option("--budget", "budget", _parse_budget, BUDGET, f"Without labels: {BUDGET}.")
@click.option("--bundle", is_flag=True, help="Use the thresholds of the bundle again.")
@click.option("--dry-run", is_flag=True, help="Print the thresholds, and change nothing.")
@comment_option
@author_option
@click.pass_obj
def calibrate_command(
    config: Path | None, /, finding: str, comment: str, author: str, **options: Any
) -> None:
    """Set the thresholds of FINDING on the past cases of this site, by one of three policies.

    With --labels and --for, studies whose truth is known set it for a figure. With --budget, a
    share of the latest studies is flagged: how many of the flags are right is unknown, and the
    finding becomes silent. With --bundle, the thresholds of the bundle's makers apply again.

    The scores are those of stored embeddings, so no image is read. The workers use the thresholds
    from their next study on. They hold for the present prompts and bundle only; `triage findings
    undo` takes them back.

    \b
    Examples:
      triage findings calibrate lge --labels known.csv --for sensitivity=0.9 --comment "212 read"
      triage findings calibrate lge --budget 5/week --comment "what we can read"
      triage findings calibrate lge --bundle --comment "as delivered"
    """
    asked = CalibrationOptions(**options)
    target = asked.choose_target()
    settings = load_settings(config)
    version = list_known_versions(config, finding)[-1]
    if target is None:
        if not asked.dry_run:
            with open_finding_editor(settings) as editor:
                print_change(config, editor.use_bundle(finding, author, comment))
        terminal.write(f"{finding}: the thresholds of the bundle apply")
        return
    proposal = propose_calibration(settings, version, target, asked.labels)
    _print_proposal(finding, proposal)
    if asked.dry_run:
        terminal.write("nothing was changed")
        return
    with open_finding_editor(settings) as editor:
        made = editor.calibrate(finding, proposal.calibration, author, comment)
    _print_limits(proposal, made)
    print_change(config, made)


def _print_proposal(finding: str, proposal: CalibrationProposal) -> None:
    terminal.write(f"{finding}: {proposal.calibration}")
    for found in proposal.calibration.thresholds:
        _print_threshold(found)
    for left in proposal.left_out:
        terminal.warn(
            f"with {name_views(left.views)}: not calibrated, so Not Evaluated; "
            f"{describe_left_out(left)}"
        )
    if proposal.unknown:
        terminal.warn(
            f"{proposal.unknown} labelled studies are no case of this bundle with a view of the "
            "finding: `triage index` adds studies"
        )


def _print_threshold(found: SiteThreshold) -> None:
    terminal.write(f"with {name_views(found.views)}: threshold {found.threshold:.4f}")
    if (known := found.performance) is not None:
        negatives = found.studies - found.positives
        terminal.write(f"  set on {found.positives} patients with it and {negatives} without it")
        terminal.write(f"  sensitivity {known.sensitivity}, specificity {known.specificity}")
        share = f"if {found.positives / found.studies:.0%} of the studies have it"
        value = found.predictive_value or "unknown, nothing is flagged"
        terminal.write(f"  positive predictive value {value}, {share}")
        terminal.write(f"  area under the ROC curve {known.auc}")
        terminal.write("  the 95 % intervals are for later studies of this kind")
    if found.flagged is not None:
        terminal.write(f"  set on the latest {found.studies} studies; accuracy unknown")
        terminal.write(f"  share of the next 500 studies that is flagged: {found.flagged.percent}")


def _print_limits(proposal: CalibrationProposal, made: FindingVersion) -> None:
    """Print which thresholds are of too few patients for an active finding."""
    if made.calibration is None:
        return
    for views in proposal.calibration.list_dropped(made.calibration):
        terminal.warn(
            f"with {name_views(views)}: too few patients for reports "
            "(`calibration.report_from`), so Not Evaluated"
        )
