"""`triage search`, `triage case` and `triage forget`: past cases."""

import json
from collections.abc import Sequence
from getpass import getuser
from pathlib import Path

import click
from rich.table import Table

from triage.cases.past_cases import why_none_similar
from triage.cases.search import CaseMatch, matches_as_json, parse_query
from triage.cli import terminal
from triage.domain.assessment import format_share
from triage.pipeline.forget_patient import ForgetRequest, ForgetResult
from triage.runtime.cases import build_patient_forgetter, open_case_access
from triage.runtime.model import open_model, open_site_bundle
from triage.runtime.settings import load_settings
from triage.runtime.storage import open_existing_ledger
from triage.telemetry import logs

HEADINGS = (
    "",
    "Similarity",
    "Above random pairs",
    "Study date",
    "Vendor",
    "Study",
    "Flags",
    "Confirmed",
)


@click.command(short_help="Find past cases by words or by a similar case.")
@click.argument("words", default="")
@click.option(
    "--like", default="", metavar="STUDY_UID", help="Compare with the images of this case."
)
@click.option(
    "--same-patient",
    flag_value="yes",
    default="",
    help="With --like: list the patient's own other studies among the others, not separately.",
)
@click.option("--count", default="10", show_default=True, help="Cases to list, 1 to 1000.")
@click.option("--since", default="", metavar="DATE", help="First study date, e.g. 2024-01-31.")
@click.option("--until", default="", metavar="DATE", help="Last study date.")
@click.option("--vendor", default="", help="Part of the manufacturer's name.")
@click.option("--finding", default="", help="Id of a finding that was flagged or confirmed.")
@click.option(
    "--confirmed", flag_value="yes", default="", help="Only findings a radiologist confirmed."
)
@click.option("--json", "as_json", is_flag=True, help="Write JSON for programs.")
@click.pass_obj
def search(config: Path | None, /, *, as_json: bool, **fields: str) -> None:
    """Find past cases: by WORDS as in a radiology report, by a case to compare with, or by both.

    Every study that was assessed or indexed with the model in use is a case. The similarity is a
    cosine, not a probability. For a comparison with a study, the table also shows which share of
    random pairs of cases are less alike. Every search is logged (`triage status --looks 100`).

    \b
    Examples:
      triage search "septal hypertrophy with patchy enhancement" --since 2024-01-01
      triage search --like 1.2.840.113619.2.1 --vendor siemens
    """
    settings = load_settings(config)
    logs.configure(settings.log)
    query = parse_query(fields)
    open_existing_ledger(settings).close()  # report a wrong --config before the model is opened
    model = open_model(settings, cache=None)
    access = open_case_access(settings, model.bundle)
    missing = sum(1 for _ in access.past.library.list_study_uids_of_other_bundles())
    if missing:
        terminal.warn(
            f"{missing} past cases are not embedded by this bundle yet, so they are not searched: "
            "`triage serve` embeds those in the spool, `triage index` those in a folder"
        )
    matches = access.search(model.encoder, query, getuser())
    if as_json:
        click.echo(json.dumps(matches_as_json(matches)))
    else:
        _print_matches(matches)


@click.command(short_help="Show the study behind the key of a similar case.")
@click.argument("key")
@click.option(
    "--report", metavar="STUDY_UID", required=True, help="Study UID of the report with the key."
)
@click.pass_obj
def case(config: Path | None, key: str, report: str) -> None:
    """Show the study behind the KEY of a similar case in a report.

    Reports name other patients' cases only by such keys. Every request is logged with the user
    (`triage status --looks 100`).

    \b
    Example:
      triage case 7QK4-M2XD --report 1.2.840.113619.2.1
    """
    settings = load_settings(config)
    access = open_case_access(settings, open_site_bundle(settings))
    found = access.resolve_key(key, report, getuser())
    terminal.write(f"{found.study_uid} of {found.study_date or 'no known date'}")


@click.command(short_help="Remove a patient from the past cases.")
@click.argument("patient_id", default="")
@click.option(
    "--issuer", default="", help="Issuer of Patient ID (0010,0021), if the images have one."
)
@click.option(
    "--study", metavar="STUDY_UID", help="Name the patient by a case, if it has no Patient ID."
)
@click.pass_obj
def forget(config: Path | None, patient_id: str, issuer: str, study: str | None) -> None:
    """Remove a patient from the past cases: embeddings, report texts, keys and fitted findings.

    Later studies of this patient do not become cases. Studies, reports and received images are not
    removed. If several machines share a case library, run the command on each of them. If it is
    interrupted, run the same command again: it completes the removal and reports the total.

    \b
    Examples:
      triage forget 4711
      triage forget --study 1.2.840.113619.2.1
    """
    if bool(patient_id.strip()) == bool(study):
        raise click.UsageError("give PATIENT_ID, or --study STUDY_UID for a case without one")
    forgetter = build_patient_forgetter(load_settings(config))
    request = ForgetRequest(patient_id.strip(), issuer, study or "")
    _print_forgotten(forgetter.forget(request, getuser()))


def _print_forgotten(result: ForgetResult) -> None:
    if result.is_resumed:
        terminal.write(
            "an earlier run was interrupted; this run completed it, and the total includes "
            f"{result.cases_before} case(s) that the earlier run had removed"
        )
    terminal.write(f"{result.cases} case(s) removed")
    for finding in result.findings:
        terminal.write(
            f"{finding} was fitted from a case of this patient, so its fit was removed: take the "
            f"case out of the examples, then run `triage findings fit {finding}`"
        )


def _print_matches(matches: Sequence[CaseMatch]) -> None:
    """Print the cases that a search found, nearest first; the same patient's separately."""
    own = [match for match in matches if match.own]
    if own:
        _print_table("the same patient's other studies", own)
    others = [match for match in matches if not match.own]
    _print_table(f"{len(others)} nearest case(s)", others)
    if why := why_none_similar(matches):
        terminal.write(f"none is similar: {why}")


def _print_table(title: str, matches: Sequence[CaseMatch]) -> None:
    table = Table(title=title)
    for heading in HEADINGS:
        # A Study UID stays on one line, so that it can be copied.
        table.add_column(heading, overflow="fold", no_wrap=heading == "Study")
    for rank, (case, similarity, likeness, _own) in enumerate(matches, start=1):
        above = "" if likeness is None else format_share(likeness)
        texts = (
            case.study_date,
            case.vendor,
            case.study_uid,
            ", ".join(case.flagged) or "none",
            ", ".join(case.confirmed),
        )
        terminal.add_plain_row(table, str(rank), f"{similarity:.3f}", above, *texts)
    terminal.console.print(table)
    for rank, match in enumerate(matches, start=1):
        if match.case.impression:
            terminal.write(f"{rank}: {match.case.impression}")
