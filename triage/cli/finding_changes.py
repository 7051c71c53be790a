"""`triage findings import`, `history`, `diff`, `activate` and the other commands of their life."""

from collections.abc import Callable, Sequence
from getpass import getuser
from pathlib import Path

import click
from rich.table import Table

from triage.cli import terminal
from triage.domain.errors import FindingChangeRefused, NotFound
from triage.domain.finding_version import (
    ChangeRefusal,
    FindingHistories,
    FindingState,
    FindingVersion,
)
from triage.domain.reasons import ReasonCode
from triage.findings.content import write_findings_file
from triage.findings.differences import describe_differences
from triage.findings.loader import load_entries
from triage.pipeline.change_findings import ImportResult
from triage.runtime.finding_changes import describe_effect, explain_silence, open_finding_editor
from triage.runtime.findings import load_histories
from triage.runtime.settings import load_settings

AUTHOR_MAX, COMMENT_MAX = 64, 500  #: characters
#: reasons that no calibration of the site removes
WITHOUT_CALIBRATION = {
    ReasonCode.MODEL_UNTRAINED,
    ReasonCode.NOT_FITTED,
    ReasonCode.FEW_EXAMPLES,
}
NEXT_STUDY = "the workers use it from their next study on"
NO_FINDINGS = (
    "the ledger has no findings yet, the findings file is in use: `triage findings import`"
)


def _check_text(longest: int) -> Callable[[click.Context, click.Parameter, str], str]:
    def check(_context: click.Context, _option: click.Parameter, text: str) -> str:
        text = text.strip()
        if not text or len(text) > longest or not text.isprintable():
            raise click.BadParameter(f"give 1 to {longest} characters in one line")
        return text

    return check


comment_option = click.option(
    "--comment",
    required=True,
    metavar="TEXT",
    callback=_check_text(COMMENT_MAX),
    help="Why; it is kept with the version.",
)
author_option = click.option(
    "--author",
    default=getuser,
    show_default="your user name",
    metavar="NAME",
    callback=_check_text(AUTHOR_MAX),
    help="Your name, if several people share the user.",
)
finding_argument = click.argument("finding")


@click.command("import", short_help="Make a findings file the present versions.")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--retire-missing", is_flag=True, help="Retire the findings that the file does not have."
)
@comment_option
@author_option
@click.pass_obj
def import_(
    config: Path | None, file: Path, comment: str, author: str, *, retire_missing: bool
) -> None:
    """Make the findings of FILE the present versions in the ledger.

    A finding that is new or changed becomes a draft; reports go on with the versions that they show
    until it is active. The first import takes over the findings that are in use, so it changes no
    report. From then on the workers use the ledger, and not the findings file of the settings.

    A file with an error changes nothing; `triage findings lint` explains it and shows a mend.

    \b
    Example:
      triage findings import findings.yaml --comment "prompts of Dr Smith"
    """
    settings = load_settings(config)
    with open_finding_editor(settings) as editor:
        result = editor.import_entries(
            load_entries(file, editor.views),
            lambda: load_entries(settings.findings),
            author,
            comment,
            retire_missing=retire_missing,
        )
    _print_import(result)
    changed = (*result.added, *result.edited, *result.returned)
    histories = load_histories(settings)
    latest = (histories.find_latest(finding) for finding in changed)
    _warn_uncalibrated(config, [version for version in latest if version is not None])


@click.command("export", short_help="Write the findings as a findings file.")
@click.option("--active", is_flag=True, help="Write the versions that reports show.")
@click.pass_obj
def export_(config: Path | None, *, active: bool) -> None:
    """Write the present version of each finding that is not retired to the standard output.

    An import of this file changes nothing.

    \b
    Example:
      triage findings export > findings.yaml
    """
    histories = _load_histories(config)
    present = histories.select_present().reported
    kept = [v for v in histories.list_latest() if v.state is not FindingState.RETIRED]
    versions = present if active else kept
    heads = {v.finding: f"version {v.number}, {v.state}" for v in versions}
    click.echo(write_findings_file(versions, heads), nl=False)


@click.command(short_help="Show the versions of a finding, or the state of each.")
@click.argument("finding", required=False)
@click.pass_obj
def history(config: Path | None, finding: str | None) -> None:
    """Show every version of FINDING with what it changed; without FINDING, the state of each.

    \b
    Examples:
      triage findings history
      triage findings history lv_dilation
    """
    if finding is None:
        _print_states(_load_histories(config).list_latest())
    else:
        _print_versions(list_known_versions(config, finding))


@click.command(short_help="Show what differs between two versions.")
@finding_argument
@click.argument("before", metavar="A", type=int)
@click.argument("after", metavar="B", type=int)
@click.pass_obj
def diff(config: Path | None, finding: str, before: int, after: int) -> None:
    """Show what differs between the versions A and B of FINDING, in words and in effect.

    \b
    Example:
      triage findings diff lv_dilation 1 4
    """
    versions = list_known_versions(config, finding)
    for number in (before, after):
        if not 1 <= number <= len(versions):
            raise FindingChangeRefused(
                ChangeRefusal.UNKNOWN_VERSION, finding=finding, number=number
            )
    _print_difference(config, versions[before - 1], versions[after - 1])


@click.command(short_help="Go back to an earlier version.")
@finding_argument
@click.option("--to", type=int, metavar="VERSION", help="Default: the version before the present.")
@comment_option
@author_option
@click.pass_obj
def undo(config: Path | None, finding: str, to: int | None, comment: str, author: str) -> None:
    """Undo the last change of FINDING: a new version gets content and state of the earlier one.

    Nothing is removed, so undoing twice restores.

    \b
    Example:
      triage findings undo lv_dilation --comment "too many flags"
    """
    latest = list_known_versions(config, finding)[-1]
    with open_finding_editor(load_settings(config)) as editor:
        made = editor.undo(finding, author, comment, to)
    print_change(config, made)
    _print_difference(config, latest, made)


@click.command(short_help="Approve an activation that another person asked for.")
@finding_argument
@comment_option
@author_option
@click.pass_obj
def approve(config: Path | None, finding: str, comment: str, author: str) -> None:
    """Approve the activation of FINDING that another person asked for (`two_person_approval`).

    \b
    Example:
      triage findings approve lv_dilation --comment "seen on 200 studies"
    """
    with open_finding_editor(load_settings(config)) as editor:
        print_change(config, editor.approve(finding, author, comment))


def _build_move(name: str, state: FindingState, short_help: str, help_text: str) -> click.Command:
    """Return the command that moves a finding to a state."""

    @click.command(name, short_help=short_help, help=help_text)
    @finding_argument
    @comment_option
    @author_option
    @click.pass_obj
    def run(config: Path | None, finding: str, comment: str, author: str) -> None:
        with open_finding_editor(load_settings(config)) as editor:
            print_change(config, editor.move(finding, state, author, comment))

    return run


COMMANDS: Sequence[click.Command] = (
    import_,
    export_,
    history,
    diff,
    _build_move(
        "silence",
        FindingState.SILENT,
        "Score a draft in silence.",
        """Score a draft in every study and record the scores in the ledger; no report shows it.

        \b
        Example:
          triage findings silence lv_dilation --comment "trial in May"
        """,
    ),
    _build_move(
        "activate",
        FindingState.ACTIVE,
        "Let reports show a silent finding.",
        """Let reports show a silent finding.

        With the setting `two_person_approval` this waits until another person approves it.

        \b
        Example:
          triage findings activate lv_dilation --comment "trial was good"
        """,
    ),
    approve,
    _build_move(
        "draft",
        FindingState.DRAFT,
        "Make a finding a draft again.",
        """Make a finding a draft again: it is not scored. Reports stop showing an active one.

        \b
        Example:
          triage findings draft lv_dilation --comment "prompts need work"
        """,
    ),
    _build_move(
        "retire",
        FindingState.RETIRED,
        "Stop using a finding.",
        """Stop using a finding: it is not scored, and reports do not show it. Its versions stay.

        \b
        Example:
          triage findings retire lv_dilation --comment "replaced by lv_dilation_2"
        """,
    ),
    undo,
)


def _load_histories(config: Path | None) -> FindingHistories:
    """Return all versions; raise NotFound if there are none."""
    histories = load_histories(load_settings(config))
    if not histories.list_latest():
        raise NotFound(NO_FINDINGS)
    return histories


def list_known_versions(config: Path | None, finding: str) -> Sequence[FindingVersion]:
    """Return the versions of a finding; raise NotFound or FindingChangeRefused if it has none."""
    versions = _load_histories(config).list_versions(finding)
    if not versions:
        raise FindingChangeRefused(ChangeRefusal.UNKNOWN_FINDING, finding=finding)
    return versions


def _print_import(result: ImportResult) -> None:
    for what, ids in (
        ("taken over from the findings file in use, active", result.taken_over),
        ("new, a draft", result.added),
        ("changed, a draft", result.edited),
        ("was retired, a draft again", result.returned),
        ("retired", result.retired),
    ):
        for id_ in ids:
            terminal.write(f"{id_}: {what}")
    for id_ in result.missing:
        terminal.warn(f"{id_}: not in the file, and kept as it is; --retire-missing retires it")
    terminal.write(f"{len(result.unchanged)} finding(s) unchanged")


def _print_states(latest: Sequence[FindingVersion]) -> None:
    table = Table(title=f"{len(latest)} finding(s)")
    for heading in ("Finding", "State", "Version", "In reports", "Since", "Author", "Comment"):
        table.add_column(heading, overflow="fold", no_wrap=heading == "Finding")
    for version in latest:
        cells = (_format_reported(version), terminal.format_time(version.note.at))
        texts = (version.note.author, version.note.comment)
        state = _format_state(version)
        terminal.add_plain_row(table, version.finding, state, str(version.number), *cells, *texts)
    terminal.console.print(table)


def _format_reported(version: FindingVersion) -> str:
    return "" if version.reported is None else f"version {version.reported}"


def _format_state(version: FindingVersion) -> str:
    waits = f", {version.asked_by} asks for activation" if version.asked_by else ""
    return f"{version.state}{waits}"


def _print_versions(versions: Sequence[FindingVersion]) -> None:
    for place, version in enumerate(versions):
        at, note = terminal.format_time(version.note.at), version.note
        state = _format_state(version)
        head = f"version {version.number}, {state}: {version.change} by {note.author} at {at}"
        terminal.write(f"{head}: {note.comment}")
        for line in describe_differences(versions[place - 1], version) if place else ():
            terminal.write(f"  {line}")


def print_change(config: Path | None, made: FindingVersion) -> None:
    """Print the state of a version that was made, and a warning if it flags nothing."""
    if made.asked_by:
        terminal.write(
            f"{made.finding}: {made.asked_by} asks for its activation, which another person has to "
            f"approve: triage findings approve {made.finding}"
        )
    else:
        head = f"{made.finding}: version {made.number} is {made.state}"
        terminal.write(f"{head}; {NEXT_STUDY}")
    if made.calibration is not None:
        terminal.write(f"{made.finding}: thresholds of this site: {made.calibration}")
    if made.state is not FindingState.RETIRED:
        _warn_uncalibrated(config, [made])


def _warn_uncalibrated(config: Path | None, versions: Sequence[FindingVersion]) -> None:
    """Warn of versions that will be Not Evaluated in every study."""
    if not versions:
        return
    for finding, why in explain_silence(load_settings(config), versions).items():
        remedy = (
            ""
            if why.code in WITHOUT_CALIBRATION
            else f"; `triage findings calibrate {finding} --help` shows how this site calibrates it"
        )
        terminal.warn(f"{finding} will be Not Evaluated: {why}{remedy}")


def _print_difference(config: Path | None, before: FindingVersion, after: FindingVersion) -> None:
    """Print what differs, and what it means for the answers if the finding is active."""
    for line in describe_differences(before, after) or ["the versions are the same"]:
        terminal.write(line)
    for line in describe_effect(load_settings(config), before, after):
        terminal.write(f"if it is active: {line}")
