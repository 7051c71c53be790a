"""`triage token`: lets somebody send over STOW-RS."""

import json
import secrets

import click
from pydantic import TypeAdapter, ValidationError

from receivers.stow.access import hash_token
from triage.config import AeTitle

BYTES = 32  #: of chance in a token


@click.command()
@click.argument("name")
def token(name: str) -> None:
    """Make a token for sender NAME: one line for the sender, one for receiver.stow.senders.

    NAME stands in the ledger in place of a calling AE title, so it is like one. The token is shown
    this once; the settings keep nothing from which it could be found out.

    \b
    triage token MR1
    """
    try:
        TypeAdapter(AeTitle).validate_python(name)
    except ValidationError as error:
        raise click.UsageError(f"NAME: {error.errors()[0]['msg']}") from None
    made = secrets.token_urlsafe(BYTES)
    click.echo(f"for the sender:   Authorization: Bearer {made}")
    click.echo(f"for the settings: {json.dumps(name)}: {{token: {hash_token(made)}}}")
