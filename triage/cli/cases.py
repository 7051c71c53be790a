"""`triage search`, `case` and `forget`: past cases."""

import json
from collections.abc import Sequence
from getpass import getuser
from pathlib import Path

import click
from rich.markup import escape
from rich.table import Table

from triage.cases.case_access import CaseAccess
from triage.cases.past_cases import why_none_similar
from triage.cases.search import CaseMatch, parse_query
from triage.cases.search import matches_as_json as cases_as_json
from triage.cli import terminal
from triage.config import load
from triage.domain.assessment import format_share
from triage.domain.audit import build_erasure_event
from triage.domain.instance import Source
from triage.model.bundle import open_bundle
from triage.runtime.audit import open_audit
from triage.runtime.model import open_model
from triage.runtime.storage import open_existing_ledger, open_fittings, open_past_cases
from triage.telemetry import logs


@click.command()
@click.argument("words", default="")
@click.option(
    "--like", default="", metavar="STUDY_UID", help="A case that the others are compared with."
)
@click.option(
    "--same-patient",
    flag_value="yes",
    default="",
    help="With --like: treat the patient's own other studies as any other's, not apart.",
)
@click.option("--count", default="10", show_default=True, help="1 to 1000.")
@click.option("--since", default="", metavar="DATE", help="First study date, e.g. 2024-01-31.")
@click.option("--until", default="", metavar="DATE", help="Last study date.")
@click.option("--vendor", default="", help="Part of the manufacturer's name.")
@click.option("--finding", default="", help="Id of a finding that was flagged or confirmed.")
@click.option(
    "--confirmed", flag_value="yes", default="", help="Only where a radiologist confirmed it."
)
@click.option("--json", "as_json", is_flag=True, help="Write JSON for programs.")
@click.pass_obj
def search(
    config: Path | None,
    /,
    *,
    as_json: bool,
    **fields: str,
) -> None:
    """Find past cases by WORDS as they stand in reports, by a case that they are like, or by both.

    Every study that was assessed with the bundle in use is a case. A similarity is a cosine, no
    probability; beside a study it is told how many random pairs of cases are less alike.

    \b
    triage search "septal hypertrophy with patchy enhancement" --since 2024-01-01
    triage search --like 1.2.840.113619.2.1 --vendor siemens
    """
    settings = load(config)
    logs.configure(settings.log)
    asked = parse_query(fields)
    ledger = open_existing_ledger(settings)
    model = open_model(settings, cache=None)
    past = open_past_cases(settings, model.bundle)
    if behind := sum(1 for _ in past.library.list_study_uids_of_other_bundles()):
        terminal.warn(
            f"{behind} past cases are not embedded by this bundle yet: `triage serve` does so aside"
            " for those in the spool, `triage index` for others"
        )
    found = CaseAccess(past, ledger, open_audit(settings)).search(model.encoder, asked, getuser())
    if as_json:
        click.echo(json.dumps(cases_as_json(found)))
    else:
        _tell(found)


@click.command()
@click.argument("key")
@click.option(
    "--report", metavar="STUDY_UID", required=True, help="Study of the report it is from."
)
@click.pass_obj
def case(config: Path | None, key: str, report: str) -> None:
    """Tell which study a report means by the KEY of a similar case. That somebody asked is kept.

    \b
    triage case 7QK4-M2XD --report 1.2.840.113619.2.1
    """
    settings = load(config)
    ledger = open_existing_ledger(settings)
    past = open_past_cases(settings, open_bundle(settings.model.bundle))
    found = CaseAccess(past, ledger, open_audit(settings)).resolve_key(key, report, getuser())
    terminal.write(f"{found.study_uid} of {found.study_date or 'no known date'}")


@click.command()
@click.argument("patient_id", default="")
@click.option(
    "--issuer", default="", help="Issuer of Patient ID (0010,0021), where images have it."
)
@click.option("--study", metavar="STUDY_UID", help="The patient of this case, who has no number.")
@click.pass_obj
def forget(config: Path | None, patient_id: str, issuer: str, study: str | None) -> None:
    """Remove a patient from the past cases of every bundle: vectors, texts, keys, and fits.

    What comes of theirs later becomes no case again. Studies, reports and the spool are not
    touched. Where several hosts share a library, say it on each.

    \b
    triage forget 4711
    triage forget --study 1.2.840.113619.2.1
    """
    if bool(patient_id.strip()) == bool(study):
        raise click.UsageError("say PATIENT_ID, or --study STUDY_UID of a case without one")
    settings = load(config)
    ledger = open_existing_ledger(settings)
    past = open_past_cases(settings, open_bundle(settings.model.bundle))
    patient = past.patient_key_of(study) if study else past.patient_key(patient_id, issuer)
    open_audit(settings).record(build_erasure_event(patient_id.strip(), getuser(), study or ""))
    count = past.library.forget_patient(patient)
    local = settings.model_copy(update={"case_library": None, "ledger": None})
    if settings.case_library is not None:  # what lay here before the library was shared
        count += open_past_cases(local, open_bundle(settings.model.bundle)).library.forget_patient(
            patient
        )
    unfitted = open_fittings(settings).forget(patient)
    if settings.ledger is not None:  # and before the ledger was
        open_fittings(local).forget(patient)
    ledger.report_incident(
        "patient forgotten", f"{count} case(s) removed", Source("", f"user {getuser()}")
    )
    terminal.write(f"{count} case(s) removed")
    for finding in unfitted:
        terminal.write(f"{finding} was fitted from one: take it out of the examples, and fit again")


def _tell(found: Sequence[CaseMatch]) -> None:
    """Print the cases that a search has found, the nearest first; the same patient's apart."""
    own = [each for each in found if each.own]
    if own:
        _table("the same patient's other studies", own)
    others = [each for each in found if not each.own]
    _table(f"{len(others)} nearest case(s)", others)
    if why := why_none_similar(found):
        terminal.write(f"none is similar: {why}")


def _table(title: str, found: Sequence[CaseMatch]) -> None:
    table = Table(title=title)
    for heading in (
        "",
        "Similarity",
        "Above random pairs",
        "Study date",
        "Vendor",
        "Study",
        "Flags",
        "Confirmed",
    ):
        table.add_column(heading, overflow="fold", no_wrap=heading == "Study")  # to be copied
    for rank, (case, similarity, likeness, _own) in enumerate(found, start=1):
        above = "" if likeness is None else format_share(likeness)
        said = (
            case.study_date,
            case.vendor,
            case.study_uid,
            ", ".join(case.flagged) or "none",
            ", ".join(case.confirmed),
        )
        table.add_row(str(rank), f"{similarity:.3f}", above, *map(escape, said))
    terminal.console.print(table)
    for rank, each in enumerate(found, start=1):
        if each.case.impression:
            terminal.write(f"{rank}: {each.case.impression}")
