"""Commands of `python -m export` that measure and calibrate a bundle on labelled pairs."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import click

from export import ood_evaluation
from export.evaluate import calibrate as set_thresholds
from export.evaluate import evaluate as measure
from export.evaluate import (
    evaluate_paraphrases,
    list_thresholds,
    probes,
    record_evaluation,
    state_performance,
)
from export.ood_calibration import calibrate_familiarity
from export.options import FOLDER, findings_with_prompts
from export.pairs import Pairs, open_pairs
from export.predictive import LEAST_AUC, CalibrationRules
from export.relevance import measure_pointing, table
from export.report import PAGE, write_report
from export.terminal import (
    describe_threshold,
    embed_with_progress,
    print_message,
    progress_bar,
)
from export.view_sets import (
    ViewSetStudies,
    calibrate_view_sets,
    show_views,
    state_view_sets,
    view_sets,
)
from triage.domain.errors import ConfigurationError
from triage.domain.finding import FindingSet
from triage.findings.loader import load_findings
from triage.model.bundle import Bundle, open_bundle
from triage.model.encoder import OnnxEncoder


@click.command(no_args_is_help=True)
@click.option("--bundle", type=FOLDER, required=True, help="The bundle to measure.")
@click.option("--pairs", type=FOLDER, required=True, help="Folder with frames.npy and pairs.csv.")
@click.option("--out", type=FOLDER, required=True, help="Folder for the report and its figures.")
@click.option("--findings", type=FOLDER, help="Findings file. [default: the worker's]")
@click.option(
    "--paraphrases", type=FOLDER, help="Findings file with other prompts for the same findings."
)
@click.option("--beside", type=FOLDER, help="Bundle on which the heads are measured as well.")
@click.option("--record", help="Write the AUCs into the bundle's manifest under this name.")
@click.option(
    "--measured-on",
    help="Write AUC, sensitivity and specificity at each threshold into the bundle, for reports,"
    ' with these words for the pairs, e.g. "412 studies of this hospital, 2025".',
)
@click.option("--label", "labels", multiple=True, help="Further label column for the heads.")
@click.option("--group", "groups", multiple=True, help="Column to split by, e.g. vendor.")
@click.option(
    "--views",
    help="Show only these views, e.g. cine_sa+lge_sa, of the pairs that have them all; measured at"
    " the bundle's thresholds for them.",
)
def evaluate(  # noqa: PLR0913 - one argument for each option
    *,
    bundle: Path,
    pairs: Path,
    out: Path,
    findings: Path | None,
    paraphrases: Path | None,
    beside: Path | None,
    record: str | None,
    measured_on: str | None,
    labels: tuple[str, ...],
    groups: tuple[str, ...],
    views: str | None,
) -> None:
    """Measure a bundle on labelled pairs: zero-shot, few-shot, heads, retrieval, by group.

    Labels are columns of pairs.csv named after the findings: 0, 1 or empty. Writes report.html,
    report.md and pictures, and figures.json for programs.

    \b
    Examples:
      python -m export evaluate --bundle bundle/ --pairs test/ --out report/ --group vendor
      python -m export evaluate --bundle bundle/ --pairs test/ --out report/ \\
          --paraphrases export/paraphrases.yaml --beside untrained/ --label hcm --label amyloid
      python -m export evaluate --bundle bundle/ --pairs test/ --out short/ --views cine_sa
    """  # noqa: D301 - as above
    opened, asked, found = open_bundle(bundle), findings_with_prompts(findings), open_pairs(pairs)
    if views is not None and (record or measured_on):
        raise click.UsageError("--record and --measured-on are for whole studies, without --views")
    if views is not None:
        found = show_views(found, tuple(views.split("+")))
        if not len(found):
            raise ConfigurationError(f"no study of {pairs} shows all of {views}")
    embedded = embed_with_progress(opened, asked, found)
    evaluation = measure(found, embedded, list_thresholds(opened, views or ""), labels, groups)
    if paraphrases is not None:
        metrics = evaluate_paraphrases(
            found, embedded, OnnxEncoder(opened, "cpu"), load_findings(paraphrases)
        )
        evaluation = replace(evaluation, paraphrased=metrics)
    if beside is not None:
        other = embed_with_progress(open_bundle(beside), asked, found)
        columns = [*embedded.scores, *labels]
        evaluation = replace(evaluation, beside=probes(found, other, columns))
    title = f"{opened.manifest.name} {opened.manifest.version} on {len(found)} studies"
    write_report(evaluation, title, out)
    if record is not None:
        opened = record_evaluation(opened, record, evaluation)
    if measured_on is not None:
        opened = state_performance(opened, measured_on, evaluation)
        with _view_sets("measuring sets of views", opened, asked, found) as studies:
            state_view_sets(opened, measured_on, studies)
    print_message(f"wrote {out / PAGE}")


@click.command(no_args_is_help=True)
@click.option("--bundle", type=FOLDER, required=True, help="A calibrated bundle.")
@click.option(
    "--pairs", type=FOLDER, required=True, help="Labelled pairs that it was not calibrated on."
)
@click.option("--findings", type=FOLDER, help="Findings file. [default: the worker's]")
def relevance(*, bundle: Path, pairs: Path, findings: Path | None) -> None:
    """Measure whether key frames point to views that show the finding, against chance.

    For every finding that is flagged and present: is the most relevant view one of those that the
    findings file names for the finding? Prints a table, and the time per study.

    \b
    Example:
      python -m export relevance --bundle bundle/ --pairs test/
    """  # noqa: D301 - as above
    opened, asked, found = open_bundle(bundle), findings_with_prompts(findings), open_pairs(pairs)
    with progress_bar("occluding views") as bar:
        task = bar.add_task("occluding views", total=len(found), loss="")
        encoder = OnnxEncoder(opened, "cpu")
        pointed = measure_pointing(found, opened, encoder, asked, lambda: bar.advance(task))
    for line in table(pointed):
        click.echo(line)
    print_message(
        f"{pointed.studies} studies with a true flag, {pointed.seconds:.2f} s each (median)"
    )


@click.command(no_args_is_help=True)
@click.option("--bundle", type=FOLDER, required=True, help="The bundle to calibrate.")
@click.option("--pairs", type=FOLDER, required=True, help="Labelled pairs it was not tested on.")
@click.option("--findings", type=FOLDER, help="Findings file. [default: the worker's]")
@click.option(
    "--least-auc",
    type=click.FloatRange(0, 1),
    default=LEAST_AUC,
    show_default=True,
    help="A finding with a lower AUC gets no threshold, and is Not Evaluated.",
)
@click.option(
    "--known",
    type=FOLDER,
    help="Pairs that are in-distribution, as those of its training; their labels are not"
    " used.  [default: --pairs]",
)
@click.option(
    "--prevalence",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="Convert the predictive values to this prevalence.  [default: that of --pairs]",
)
@click.option(
    "--rule-in",
    "rule_in",
    multiple=True,
    metavar="FINDING",
    help="Report this finding as Present above its highest measured score. Repeatable.",
)
@click.option(
    "--rule-out",
    "rule_out",
    multiple=True,
    metavar="FINDING",
    help="Report this finding as Absent below its lowest measured score. Repeatable.",
)
def calibrate(  # noqa: PLR0913 - one argument for each option
    *,
    bundle: Path,
    pairs: Path,
    findings: Path | None,
    least_auc: float,
    known: Path | None,
    prevalence: float | None,
    rule_in: tuple[str, ...],
    rule_out: tuple[str, ...],
) -> None:
    """Set a bundle's thresholds where sensitivity equals specificity, as published.

    A bundle whose views have frames of a stated number gets thresholds for every set of views that
    a study may have; a finding that is not told from some views is Not Evaluated for them.

    Writes calibration.json into the bundle. It is valid for these prompts and this model alone; to
    undo it, export the bundle again or keep a copy. With familiar.npy, which is written as well,
    the worker recognises studies that are unlike the training data.

    Prints and writes positive and negative predictive values with counts and 95 % intervals. They
    decide nothing: a finding is Present or Absent only if you state it with --rule-in or
    --rule-out, after you have read the figures.

    \b
    Examples:
      python -m export calibrate --bundle bundle/ --pairs calibration/ --known train/
      python -m export calibrate --bundle bundle/ --pairs calibration/ --prevalence 0.05
      python -m export calibrate --bundle bundle/ --pairs calibration/ --rule-in hcm
    """  # noqa: D301 - as above
    opened, asked, found = open_bundle(bundle), findings_with_prompts(findings), open_pairs(pairs)
    embedded = embed_with_progress(opened, asked, found)
    rules = CalibrationRules(least_auc, prevalence, rule_in, rule_out)
    calibrated = set_thresholds(opened, asked, embedded, found, rules)
    with _view_sets("calibrating sets of views", calibrated, asked, found) as studies:
        calibrated = calibrate_view_sets(calibrated, studies, rules)
    calibrated = calibrate_familiarity(calibrated, open_pairs(known) if known else found)
    thresholds = calibrated.calibration.findings if calibrated.calibration else {}
    for finding in asked.findings:
        found_threshold = thresholds.get(finding.id)
        reason = f"no positive or no negative labels, or an AUC below {least_auc:g}"
        lines = [reason] if found_threshold is None else describe_threshold(found_threshold)
        print_message(f"{finding.id}: " + "\n  ".join(lines))
    limit = calibrated.calibration.familiarity if calibrated.calibration else None
    none = "none: too few pairs, or clips without slots of stated length"
    print_message(f"out-of-distribution limit: {none if limit is None else limit.limit}")


@click.command(no_args_is_help=True)
@click.option("--bundle", type=FOLDER, required=True, help="A calibrated bundle.")
@click.option("--pairs", type=FOLDER, required=True, help="Pairs that it was not calibrated on.")
@click.option("--external", type=FOLDER, help="Pairs of another hospital.")
@click.option("--files", type=FOLDER, help="Folder with arbitrary DICOM files.")
@click.option("--study", type=FOLDER, multiple=True, help="Folder with one study's DICOM files.")
@click.option("--count", type=click.IntRange(min=1), default=100, show_default=True)
def familiarity(  # noqa: PLR0913 - one argument for each option
    *,
    bundle: Path,
    pairs: Path,
    external: Path | None,
    files: Path | None,
    study: tuple[Path, ...],
    count: int,
) -> None:
    """Measure which share of noise, other modalities and wrong views is called unfamiliar.

    Also measures the share of hearts that are called unfamiliar by mistake. Prints a table.

    \b
    Example:
      python -m export familiarity --bundle bundle/ --pairs test/ --external other/
    """  # noqa: D301 - as above
    opened, found = open_bundle(bundle), open_pairs(pairs)
    rows = [ood_evaluation.hearts(found, "never used", opened)]
    if external is not None:
        rows.append(ood_evaluation.hearts(open_pairs(external), "of another hospital", opened))
    rows += ood_evaluation.synthetic_samples(found, count, opened)
    if files is not None:
        rows += ood_evaluation.pictures(files, found.form, opened)
    rows += ood_evaluation.studies(study, found.form, opened)
    for line in ood_evaluation.page(rows):
        click.echo(line)


@contextmanager
def _view_sets(
    what: str, bundle: Bundle, findings: FindingSet, pairs: Pairs
) -> Iterator[ViewSetStudies]:
    """Yield pairs to be scored for each set of views, with a progress bar."""
    with progress_bar(what) as bar:
        task = bar.add_task(what, total=len(view_sets(pairs.form)), loss="")
        encoder = OnnxEncoder(bundle, "cpu")
        yield ViewSetStudies(pairs, findings, encoder, lambda: bar.advance(task))


#: In the order of the help.
COMMANDS = (evaluate, relevance, calibrate, familiarity)
