"""`triage check`: validates settings, model and peers before they are needed."""

from pathlib import Path

import click

from triage.cli import terminal
from triage.config import Settings, render_settings, require_peers
from triage.domain.errors import CheckFailed, DeliveryFailed
from triage.imaging.rules import load_rules
from triage.pipeline.model_input import LoadedModel
from triage.runtime.databases import describe_ledger_revision
from triage.runtime.destinations import open_destinations
from triage.runtime.model import open_model
from triage.runtime.preflight import (
    check_audit,
    check_certificates,
    check_reports,
    check_watched_folder,
    is_open_to_others,
)
from triage.runtime.settings import load_settings
from triage.runtime.storage import open_past_cases, probe_spool


@click.command(short_help="Check settings, model, spool and destinations.")
@click.pass_obj
def check(config: Path | None) -> None:
    """Check settings, findings, model, spool and destinations, and print what was found.

    Run it after every change of the settings, before `triage serve`. It sends each destination an
    echo and no report, and writes and removes a probe in the spool. It changes nothing else, except
    that it creates the tables of a `case_library` and the folders of a `spool.url`.

    Exit status 0: everything works. 2: the message on stderr names what to correct.

    \b
    Example:
      triage --config triage.yaml check
    """
    settings = load_settings(config)
    terminal.console.print_json(render_settings(settings))
    load_rules(settings.series_rules)
    require_peers(settings)
    check_reports(settings)
    check_certificates(settings)
    check_watched_folder(settings)
    ledger = describe_ledger_revision(settings)
    if is_open_to_others(settings.state_dir):
        terminal.warn(
            f"state_dir {settings.state_dir} is open to other users: run "
            f"chmod 700 {settings.state_dir}"
        )
    model = open_model(settings, cache=None)
    terminal.write(f"ledger: {ledger}")
    _print_model(settings, model)
    terminal.write(f"spool: {probe_spool(settings)}")
    if settings.case_library is not None:
        size = open_past_cases(settings, model.bundle).library.count_cases()
        terminal.write(f"case library: {size} case(s)")
    silent = _echo_destinations(settings)
    if answer := check_audit(settings):
        terminal.write(f"audit: {answer}")
    if silent:
        raise CheckFailed(f"{silent} destination(s) do not answer; see the lines above")


def _print_model(settings: Settings, model: LoadedModel) -> None:
    manifest = model.bundle.manifest
    untrained = "" if manifest.trained else " (UNTRAINED: every flag will be Not Evaluated)"
    terminal.write(f"findings: {len(model.findings.findings)} in {settings.findings}")
    terminal.write(f"bundle: {manifest.name} {manifest.version}{untrained}")
    terminal.write(f"runs on: {model.encoder.execution_provider}")


def _echo_destinations(settings: Settings) -> int:
    """Print the answer of each destination; return how many did not answer."""
    silent = 0
    for name, destination in open_destinations(settings).items():
        try:
            terminal.write(f"destination {name}: {destination.echo().answer}")
        except DeliveryFailed as error:
            silent += 1
            terminal.warn(f"destination {name}: {error}")
    return silent
