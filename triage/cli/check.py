"""`triage check`: validates settings, model and peers before they are needed."""

from pathlib import Path

import click

from triage.cli import terminal
from triage.config import Settings, check_private_files, render_settings, require_peers
from triage.domain.errors import CheckFailed, ConfigurationError, DeliveryFailed
from triage.domain.loaded import describe_changes
from triage.domain.negotiation import Negotiation
from triage.imaging.rules import load_rules
from triage.pipeline.model_input import LoadedModel
from triage.ports.destination import NegotiatingDestination
from triage.runtime.databases import describe_ledger_revision
from triage.runtime.destinations import list_offers, open_destinations
from triage.runtime.findings import SiteFindings, load_site_findings
from triage.runtime.listening import list_addresses, try_address
from triage.runtime.loaded import describe_loaded, read_loaded
from triage.runtime.model import open_model
from triage.runtime.preflight import (
    check_audit,
    check_case_files,
    check_certificates,
    check_reports,
    check_watched_folder,
    is_open_to_others,
)
from triage.runtime.settings import load_settings
from triage.runtime.storage import open_past_cases, probe_spool


@click.command(short_help="Check settings, model, spool and destinations.")
@click.option("--settings", "show", is_flag=True, help="Print all settings as JSON, too.")
@click.pass_obj
def check(config: Path | None, *, show: bool) -> None:
    """Check settings, findings, model, spool, ports and destinations, and print what was found.

    Run it after every change of the settings, before `triage serve`. It opens each listening
    address for a moment, and compares bundle and findings with those of the running worker. It
    sends each destination an echo and no report, proposes to a PACS the SOP classes of the reports,
    and writes and removes a probe in the spool. It changes nothing else, except that it creates the
    tables of a `case_library` and the folders of a `spool.url`.

    Exit status 0: everything works. 2: the message on stderr names what to correct.

    \b
    Examples:
      triage --config triage.yaml check
      triage --config triage.yaml check --settings
    """
    settings = load_settings(config)
    if show:
        terminal.console.print_json(render_settings(settings))
    load_rules(settings.series_rules)
    require_peers(settings)
    check_reports(settings)
    for warning in check_private_files(settings):
        terminal.warn(warning)
    if titles := settings.receiver.list_open_titles():
        terminal.warn(
            f"{', '.join(titles)} may send from any address without a certificate: an AE title is "
            "no secret; give receiver.peers.NAME with addresses or certificates"
        )
    check_certificates(settings)
    check_watched_folder(settings)
    if lost := check_case_files(settings):
        terminal.warn(lost)
    ledger = describe_ledger_revision(settings)
    if is_open_to_others(settings.state_dir):
        terminal.warn(
            f"state_dir {settings.state_dir} is open to other users: run "
            f"chmod 700 {settings.state_dir}"
        )
    findings = load_site_findings(settings)
    model = open_model(settings, cache=None, findings=findings)
    terminal.write(f"ledger: {ledger}")
    _print_model(findings, model)
    _print_calibrations(model)
    _print_changes(settings, model)
    terminal.write(f"spool: {probe_spool(settings)}")
    if settings.case_library is not None:
        size = open_past_cases(settings, model.bundle).library.count_cases()
        terminal.write(f"case library: {size} case(s)")
    faults = _try_addresses(settings) + _ask_destinations(settings)
    if answer := check_audit(settings):
        terminal.write(f"audit: {answer}")
    if faults:
        raise CheckFailed(f"{faults} fault(s); see the lines above")


def _print_model(findings: SiteFindings, model: LoadedModel) -> None:
    manifest = model.bundle.manifest
    untrained = "" if manifest.trained else " (UNTRAINED: every flag will be Not Evaluated)"
    silent = f", and {len(findings.silent.findings)} silent" if findings.silent else ""
    terminal.write(f"findings: {len(findings.reported.findings)} in {findings.origin}{silent}")
    terminal.write(f"bundle: {manifest.name} {manifest.version}{untrained}")
    terminal.write(f"runs on: {model.encoder.execution_provider}")


def _print_calibrations(model: LoadedModel) -> None:
    """Print which thresholds the site has set, and warn of those that do not hold any more."""
    parts = [(model.findings, model.questions)]
    if model.trial is not None:
        parts.append((model.trial.findings, model.trial.questions))
    for findings, questions in parts:
        for finding, calibration in findings.calibrations.items():
            if (why_not := questions[finding].why_not) is not None:
                terminal.warn(f"{finding} is Not Evaluated: {why_not}")
            else:
                terminal.write(f"{finding}: thresholds of this site: {calibration}")


def _print_changes(settings: Settings, model: LoadedModel) -> None:
    """Print what the next start changes for the reports."""
    try:
        before = read_loaded(settings)
    except CheckFailed as error:
        terminal.warn(f"compared with the running worker: {error}")
        return
    if before is None:
        terminal.write("compared with the running worker: none has started yet")
        return
    changes = describe_changes(before, describe_loaded(model))
    for change in changes or ["the next start changes nothing"]:
        terminal.write(f"compared with the running worker: {change}")


def _try_addresses(settings: Settings) -> int:
    """Print whether each listening address can be opened; return how many cannot."""
    faults = 0
    for address in list_addresses(settings):
        try:
            found = try_address(settings, address)
            terminal.write(f"listens for {address.service} on {address}: {found}")
        except ConfigurationError as error:
            faults += 1
            terminal.warn(str(error))
    return faults


def _ask_destinations(settings: Settings) -> int:
    """Print the answer of each destination, and what it would accept; return how many faults."""
    faults = 0
    offers = list_offers(settings)
    for name, destination in open_destinations(settings).items():
        try:
            terminal.write(f"destination {name}: {destination.echo().answer}")
            if isinstance(destination, NegotiatingDestination):
                faults += _print_negotiation(name, destination.negotiate(offers))
        except DeliveryFailed as error:
            faults += 1
            terminal.warn(f"destination {name}: {error}")
    return faults


def _print_negotiation(name: str, found: Negotiation) -> int:
    """Print what a destination accepts and refuses; return how much it refuses."""
    for accepted in found.accepted:
        terminal.write(f"destination {name} accepts {accepted}")
    for refused in found.refused:
        terminal.warn(f"destination {name} refuses {refused}")
    return len(found.refused)
