"""The command line. No logic here: what there is to say lies in `triage.cli`."""

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
#: Where each command lies, below `triage.cli`.
COMMANDS = {
    **dict.fromkeys(("serve", "receive", "work", "web"), "serve"),
    **{name: name for name in ("check", "replay", "password", "token", "findings", "prune")},
    **dict.fromkeys(("send", "status"), "studies"),
    **dict.fromkeys(("search", "case", "forget"), "cases"),
    **{name: name for name in ("index", "pull", "series", "phantom", "demo")},
}


class Commands(click.Group):
    """Commands that are imported when they are asked for: a receiver draws no hearts.

    Errors that are raised on purpose are sentences, not traces.
    """

    def list_commands(self, _ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        return sorted(COMMANDS)

    def get_command(self, _ctx: click.Context, name: str) -> click.Command | None:
        """Return a command, or None where there is none of that name."""
        if name not in COMMANDS:
            return None
        there = vars(import_module(f"triage.cli.{COMMANDS[name]}")).values()
        return next(c for c in there if isinstance(c, click.Command) and c.name == name)

    def invoke(self, ctx: click.Context) -> object:
        """Run the command; an error that was raised on purpose ends with its message."""
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
    help="Settings of this site, a YAML file. [default: $TRIAGE_CONFIG; deploy/triage.yaml "
    "explains every field]",
)
@click.pass_context
def main(ctx: click.Context, config: Path | None) -> None:
    """DICOM triage worker for cardiac MRI. Research use only: it assists, it never decides.

    A PACS sends a study over C-STORE; a Structured Report comes back with one flag per configured
    finding, saying why, and what was not looked at.

    \b
    First steps:
      triage demo                          see the whole way with a test PACS
      triage --config triage.yaml check    are settings, prompts, model and PACS all right?
      triage --config triage.yaml serve    run everything
      triage --config triage.yaml status   what became of the studies?
    """
    os.umask(OWNER_ONLY)
    ctx.obj = config


if __name__ == "__main__":
    main()
