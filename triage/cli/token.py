"""`triage token`: create the token of a STOW-RS sender."""

import json
import secrets

import click
from pydantic import TypeAdapter, ValidationError

from receivers.stow.access import hash_token
from triage.config import AeTitle

TOKEN_BYTES = 32  #: of randomness in a token


@click.command(short_help="Create a token for a STOW-RS sender.")
@click.argument("name")
def token(name: str) -> None:
    """Create a token that lets the sender NAME store over STOW-RS.

    It prints two lines: the header for the sender, and the entry for receiver.stow.senders in the
    settings. The settings contain only a hash, so the token cannot be shown again. The ledger
    records NAME in place of a calling AE title, so NAME follows the rules of an AE title.

    \b
    Example:
      triage token MR1
    """
    try:
        TypeAdapter(AeTitle).validate_python(name)
    except ValidationError as error:
        raise click.UsageError(f"NAME: {error.errors()[0]['msg']}") from None
    made = secrets.token_urlsafe(TOKEN_BYTES)
    click.echo(f"for the sender:   Authorization: Bearer {made}")
    click.echo(f"for the settings: {json.dumps(name)}: {{token: {hash_token(made)}}}")
