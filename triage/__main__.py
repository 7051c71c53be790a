"""Entry point of the command line; the commands are in `triage.cli`."""

import os
import sys
from importlib import import_module
from pathlib import Path

import click

from triage import __version__
from triage.cli import terminal
from triage.domain.errors import TriageError

OWNER_ONLY = 0o077
USAGE = 2
#: Module of each command, below `triage.cli`.
COMMANDS = {
    **dict.fromkeys(("serve", "receive", "work", "web"), "serve"),
    **{name: name for name in ("check", "status", "replay", "password", "token", "findings")},
    "send": "studies",
    **dict.fromkeys(("search", "case", "forget"), "cases"),
    **dict.fromkeys(("backup", "restore"), "backup"),
    **{
        name: name
        for name in ("health", "prune", "index", "pull", "score", "series", "phantom", "demo")
    },
}


class Commands(click.Group):
    """Commands whose modules are imported on use, so that a receiver loads no drawing library.

    A TriageError is printed as its message, without a traceback.
    """

    def list_commands(self, _ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        return sorted(COMMANDS)

    def get_command(self, _ctx: click.Context, name: str) -> click.Command | None:
        """Return a command; None if there is none of that name."""
        if name not in COMMANDS:
            return None
        members = vars(import_module(f"triage.cli.{COMMANDS[name]}")).values()
        return next(c for c in members if isinstance(c, click.Command) and c.name == name)

    def invoke(self, ctx: click.Context) -> object:
        """Run the command; print the message of a TriageError and exit with status 2."""
        try:
            return super().invoke(ctx)
        except TriageError as error:
            terminal.warn(f"error: {error}")
            sys.exit(USAGE)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="triage")
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Settings of this site, a YAML file; deploy/triage.yaml explains every field. "
    "[default: the file of $TRIAGE_CONFIG]",
)
@click.pass_context
def main(ctx: click.Context, config: Path | None) -> None:
    """DICOM triage worker for cardiac MRI. Research use only: it assists, it never decides.

    A PACS sends a study over C-STORE. The worker returns a Structured Report with one flag for each
    configured finding, the reason of each flag, and the images that were not used.

    \b
    First steps:
      triage demo                          try it with a synthetic study and a test PACS
      triage --config triage.yaml check    check settings, model and PACS
      triage --config triage.yaml serve    run the worker
      triage --config triage.yaml status   show the studies and their problems
      triage --config triage.yaml health   show whether the worker does its work

    \b
    Exit status: 0 success; 2 an error, with its message on stderr; 1 of `health`: not all is well,
    and of `findings lint`: warnings alone.

    `triage COMMAND --help` explains a command, with examples.
    """
    os.umask(OWNER_ONLY)
    ctx.obj = config


if __name__ == "__main__":
    main()
