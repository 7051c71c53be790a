"""`triage password`: create a line of web.users."""

import sys

import click

from triage.config.fields import USER
from triage.web.passwords import hash_password

PASSWORD_LEAST = 12  #: characters


@click.command(short_help="Create a line of web.users for a user of the pages.")
@click.argument("name")
def password(name: str) -> None:
    """Ask for the password of user NAME and print the line for web.users in the settings.

    The line contains a hash and not the password. On a terminal the command asks twice; otherwise
    the password is the first line of standard input.

    \b
    Example:
      triage password anna
    """
    if not USER.fullmatch(name):
        raise click.UsageError("NAME has a to z, 0 to 9, . _ and -, and begins with a letter")
    if sys.stdin.isatty():
        entered = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    else:
        entered = sys.stdin.readline().rstrip("\r\n")
    if len(entered) < PASSWORD_LEAST:
        raise click.UsageError(f"a password has at least {PASSWORD_LEAST} characters")
    click.echo(f"{name}: {hash_password(entered)}")
