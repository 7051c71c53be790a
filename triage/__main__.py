"""The command line. No logic here: what there is to say lies in `triage.commands`."""

import os
import sys
from pathlib import Path

import click

from triage import __version__, terminal
from triage.commands.cases import case, forget, search
from triage.commands.check import check
from triage.commands.demo import demo_command
from triage.commands.findings import findings
from triage.commands.index import index
from triage.commands.password import password
from triage.commands.phantom import phantom
from triage.commands.pull import pull
from triage.commands.series import series
from triage.commands.serve import receive, serve, web, work
from triage.commands.studies import replay, send, status
from triage.commands.token import token
from triage.domain.errors import TriageError

OWNER_ONLY = 0o077
USAGE = 2


class Commands(click.Group):
    """A group whose errors are sentences, not traces."""

    def invoke(self, ctx: click.Context) -> object:
        """Run the command; an error that was raised on purpose ends with its message."""
        try:
            return super().invoke(ctx)
        except TriageError as error:
            terminal.complain(f"error: {error}")
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


COMMANDS = [
    *(serve, receive, work, web),
    *(check, password, token, findings),
    *(send, status, replay),
    *(search, case, forget, index, pull),
    *(series, phantom, demo_command),
]
for command in COMMANDS:
    main.add_command(command)


if __name__ == "__main__":
    main()
