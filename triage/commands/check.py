"""`triage check`: is everything all right before it is needed?"""

import os
from getpass import getuser
from pathlib import Path

import click

from triage import terminal
from triage.bootstrap import open_destinations, open_model, open_past, tried_spool
from triage.commands.serve import check_receiver
from triage.config import WatchedFolder, load, require_peers, shown
from triage.domain.errors import ConfigurationError, DeliveryFailed
from triage.imaging.rules import load_rules


@click.command()
@click.pass_obj
def check(config: Path | None) -> None:
    """Print the resolved settings; validate findings and bundle; ask if destinations are there.

    A spool is tried with a probe. Exits with 2 if anything needs mending. Changes nothing, but
    makes the tables of a case_library, and the folders in a spool.url.
    """
    settings = load(config)
    terminal.console.print_json(shown(settings))
    load_rules(settings.series_rules)
    require_peers(settings)
    check_receiver(settings)
    _check_folder(settings.receiver.folder)
    model = open_model(settings, cache=None)
    manifest = model.bundle.manifest
    trained = "" if manifest.trained else " (UNTRAINED: every flag will be Not Evaluated)"
    say = terminal.say
    say(f"findings: {len(model.findings.findings)} in {settings.findings}")
    say(f"bundle: {manifest.name} {manifest.version}{trained}")
    say(f"runs on: {model.encoder.execution_provider}")
    say(f"spool: {tried_spool(settings)}")
    if settings.case_library is not None:
        say(f"case library: {open_past(settings, model.bundle).library.size()} case(s)")
    silent = 0
    for name, destination in open_destinations(settings).items():
        try:
            say(f"destination {name}: {destination.echo().answer}")
        except DeliveryFailed as error:
            silent += 1
            terminal.complain(f"destination {name}: {error}")
    if silent:
        raise ConfigurationError(f"{silent} destination(s) do not answer")


def _check_folder(folder: WatchedFolder | None) -> None:
    """Raise ConfigurationError where the watched folder is not there, or not ours to use."""
    if folder is not None and not os.access(folder.path, os.R_OK | os.W_OK | os.X_OK):
        raise ConfigurationError(
            f"receiver.folder.path {folder.path} is no folder that {getuser()} may read and write"
        )
