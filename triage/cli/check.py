"""`triage check`: is everything all right before it is needed?"""

import os
from getpass import getuser
from pathlib import Path

import click

from triage.audit import open_audit_transport
from triage.cli import terminal
from triage.cli.serve import check_receiver
from triage.config import AuditSettings, WatchedFolder, load, render_settings, require_peers
from triage.domain.errors import AuditUnavailable, CheckFailed, ConfigurationError, DeliveryFailed
from triage.imaging.rules import load_rules
from triage.runtime.databases import describe_ledger_revision
from triage.runtime.destinations import open_destinations
from triage.runtime.model import open_model
from triage.runtime.storage import open_past_cases, probe_spool

OTHERS = 0o077  #: the bits of a mode that let anybody but the owner in


@click.command()
@click.pass_obj
def check(config: Path | None) -> None:
    """Print the resolved settings; validate findings and bundle; ask if destinations are there.

    A spool is tried with a probe. Exits with 2 if anything needs mending. Changes nothing, but
    makes the tables of a case_library, and the folders in a spool.url.
    """
    settings = load(config)
    terminal.console.print_json(render_settings(settings))
    load_rules(settings.series_rules)
    require_peers(settings)
    check_receiver(settings)
    _check_folder(settings.receiver.folder)
    ledger = describe_ledger_revision(settings)
    _check_privacy(settings.state_dir)
    model = open_model(settings, cache=None)
    manifest = model.bundle.manifest
    trained = "" if manifest.trained else " (UNTRAINED: every flag will be Not Evaluated)"
    say = terminal.write
    say(f"ledger: {ledger}")
    say(f"findings: {len(model.findings.findings)} in {settings.findings}")
    say(f"bundle: {manifest.name} {manifest.version}{trained}")
    say(f"runs on: {model.encoder.execution_provider}")
    say(f"spool: {probe_spool(settings)}")
    if settings.case_library is not None:
        say(
            f"case library: {open_past_cases(settings, model.bundle).library.count_cases()} case(s)"
        )
    silent = 0
    for name, destination in open_destinations(settings).items():
        try:
            say(f"destination {name}: {destination.echo().answer}")
        except DeliveryFailed as error:
            silent += 1
            terminal.warn(f"destination {name}: {error}")
    _check_audit(settings.audit)
    if silent:
        raise CheckFailed(f"{silent} destination(s) do not answer")


def _check_audit(settings: AuditSettings | None) -> None:
    """Tell how the audit repository answers; raise CheckFailed where it does not."""
    if settings is None:
        return
    try:
        terminal.write(f"audit: {open_audit_transport(settings).check()}")
    except AuditUnavailable as error:
        raise CheckFailed(f"audit: {error}; messages wait until it is mended") from None


def _check_privacy(state_dir: Path) -> None:
    """Complain of a state folder, there already when the worker came, that others may look into.

    All that is made in it is its owner's alone; but names in it would be seen.
    """
    if state_dir.is_dir() and state_dir.stat().st_mode & OTHERS:
        terminal.warn(f"state_dir {state_dir} is open to others: chmod 700 {state_dir}")


def _check_folder(folder: WatchedFolder | None) -> None:
    """Raise ConfigurationError where the watched folder is not there, or not ours to use."""
    if folder is not None and not os.access(folder.path, os.R_OK | os.W_OK | os.X_OK):
        raise ConfigurationError(
            f"receiver.folder.path {folder.path} is no folder that {getuser()} may read and write"
        )
