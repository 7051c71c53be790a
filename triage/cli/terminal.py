"""What people see on a terminal: tables, progress, plain sentences.

Rule: a flag never stands without its reason, and what was not looked at is always listed.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from sqlalchemy import Row

from triage.domain.assessment import OUT_OF_DISTRIBUTION_NOTE, Answer, Assessment, Flag
from triage.domain.delivery import DeadLetter, Delivery, Outage
from triage.domain.study import State, StudyRevision

console = Console()
complaints = Console(stderr=True)

NAMELESS = "(no description)"
COLOURS = {
    State.DELIVERED: "green",
    State.ASSESSED: "cyan",
    State.DECLINED: "yellow",
    State.FAILED: "bold red",
}
FLAG_COLOURS = {Flag.YES: "bold red", Flag.NO: "green", Flag.NOT_EVALUATED: "yellow"}


def write(text: str) -> None:
    """Print a sentence as it is; long ones are not broken, so that paths can be copied."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def warn(text: str) -> None:
    """Print a sentence to stderr, in red on a terminal."""
    complaints.print(text, markup=False, highlight=False, soft_wrap=True, style="red")


class Hourly(ProgressColumn):
    """How many an hour."""

    def render(self, task: Task) -> str:  # noqa: D102
        return f"{task.speed * 3600:,.0f} an hour" if task.speed else ""


@contextmanager
def progress(what: str, total: int, *, hourly: bool = False) -> Iterator[Progress]:
    """Show a progress bar; advance task 0 of the answer. `hourly`: with how many an hour."""
    columns = (
        TextColumn(what),
        BarColumn(),
        MofNCompleteColumn(),
        *([Hourly()] if hourly else []),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=complaints) as bar:
        bar.add_task(what, total=total)
        yield bar


def flags(assessment: Assessment, truth: Mapping[str, bool] | None = None) -> None:
    """Print an assessment: root flag, findings, views seen and not seen, intended use.

    Of a synthetic heart the `truth` is known, by finding; each flag is shown beside it.
    """
    table = Table(title=f"Flag: {assessment.flag}   Priority: {assessment.priority}")
    for heading in ("Finding", "Flag", "Score", "Threshold", "Why", *(["Drawn"] if truth else [])):
        table.add_column(heading, overflow="fold")
    for answer in assessment.answers:
        drawn = [_beside(answer, truth)] if truth else []
        table.add_row(
            answer.finding.name,
            f"[{FLAG_COLOURS[answer.flag]}]{answer.flag}[/]",
            figure(answer.score),
            figure(answer.threshold),
            answer.reason,
            *drawn,
        )
    if assessment.is_unfamiliar:
        console.print(OUT_OF_DISTRIBUTION_NOTE, style="bold red")
    console.print(table)
    if truth:
        given = [answer for answer in assessment.answers if _agrees(answer, truth) is not None]
        right = sum(_agrees(answer, truth) is True for answer in given)
        write(f"{right} of {len(given)} flags agree with the heart that was drawn")
    if (found := assessment.familiarity) is not None:
        like = "like" if found.is_known else "unlike"
        write(f"{like} the studies that the model knows: {found.figures}")
        write(f"strangest view: {found.strangest_view}")
    for used in assessment.used:
        write(f"looked at {used.view}: {used.series_description or NAMELESS} ({used.why})")
    for missing in assessment.missing:
        write(f"not looked at {missing.view}: {missing.reason}")
    if assessment.unused:
        images = sum(stack.images for stack in assessment.unused)
        write(f"not used {len(assessment.unused)} series, {images} images:")
        for stack in assessment.unused:
            name = stack.series_description or NAMELESS
            write(f"    {name}, {stack.images} images: {stack.reason}")
    model = assessment.model
    write(f"{model.name} {model.version}: {model.intended_use}")


def studies(found: Sequence[StudyRevision]) -> None:
    """Print the studies of the ledger."""
    table = Table(title=f"{len(found)} studies")
    table.add_column("Study UID", overflow="fold", ratio=3)
    for heading in ("Rev.", "State", "Images", "Since"):
        table.add_column(heading, no_wrap=True)
    table.add_column("Why", overflow="fold", ratio=3)
    for study in found:
        colour = COLOURS.get(study.state, "white")
        table.add_row(
            study.study_uid,
            str(study.revision),
            f"[{colour}]{study.state}[/]",
            str(study.instances),
            moment(study.changed_at),
            escape(study.reason),
        )
    console.print(table)


def series(title: str, rows: Sequence[Sequence[str]]) -> None:
    """Print the stacks of a study: what each is, what it serves for, and why."""
    table = Table(title=title)
    for heading in ("Series", "Images", "Sequence", "View", "Used for", "Why"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*map(escape, row), style="green" if row[4] else None)
    console.print(table)


def deliveries(found: Sequence[Delivery]) -> None:
    """Print the deliveries of a study."""
    table = Table(title="Deliveries")
    for heading in ("No.", "Destination", "Product", "State", "Attempts", "Last answer"):
        table.add_column(heading, overflow="fold")
    for each in found:
        told = each.product.kind, each.state, str(each.attempts), escape(each.last_answer)
        style = "yellow" if each.has_warning else None
        table.add_row(str(each.id), each.destination, *told, style=style)
    console.print(table)


def outages(found: Sequence[Outage]) -> None:
    """Print the destinations that do not answer; nothing if all do."""
    if not found:
        return
    table = Table(title="Destinations that do not answer; one delivery at a time is tried")
    for heading in ("Destination", "Since", "Waiting", "Next try", "Last answer"):
        table.add_column(heading, overflow="fold")
    for each in found:
        times = moment(each.since), str(each.waiting), moment(each.again_at)
        table.add_row(each.destination, *times, escape(each.last_answer), style="yellow")
    console.print(table)


def given_up(found: Sequence[DeadLetter], count: int) -> None:
    """Print the newest of `count` deliveries that are not tried any more; nothing if none is."""
    if not found:
        return
    table = Table(title=f"Given up: {count} deliveries, newest first; `triage replay` sends again")
    for heading in ("No.", "When", "Study UID", "Rev.", "Destination", "Product", "Last answer"):
        table.add_column(heading, overflow="fold")
    for each in found:
        where = each.study_uid, str(each.revision), each.destination, each.kind
        answer = f"{escape(each.last_answer)} (attempt {each.attempts})"
        table.add_row(str(each.id), moment(each.at), *where, answer)
    console.print(table)


def history(events: Sequence[Row[Any]]) -> None:
    """Print what happened to a study, in order."""
    table = Table(title="History")
    for heading in ("When", "Rev.", "Event", "State", "Why"):
        table.add_column(heading, overflow="fold")
    for each in events:
        when = moment(each.at)
        table.add_row(when, str(each.revision), each.event, each.state, escape(each.reason))
    console.print(table)


def incidents(found: Sequence[Row[Any]], title: str = "Turned away or set apart") -> None:
    """Print what the ledger remembers beside studies, newest first; nothing if it is nothing."""
    if not found:
        return
    table = Table(title=f"{title}, newest first")
    for heading in ("When", "What", "From", "Why", "Kept as"):
        table.add_column(heading, overflow="fold")
    for each in found:
        told = [f"{each.calling_ae} {each.address}", each.detail, each.path]
        what = each.kind if each.times == 1 else f"{each.kind}, {each.times} times"
        table.add_row(moment(each.at), what, *map(escape, told))
    console.print(table)


def moment(at: float) -> str:
    """Return a time as people read it, local."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))


def _agrees(answer: Answer, truth: Mapping[str, bool]) -> bool | None:
    """Tell whether a flag is right; None where there is none, or nothing to compare it with."""
    if answer.flag is Flag.NOT_EVALUATED or answer.finding.id not in truth:
        return None
    return (answer.flag is Flag.YES) == truth[answer.finding.id]


def _beside(answer: Answer, truth: Mapping[str, bool]) -> str:
    if answer.finding.id not in truth:
        return "unknown"
    drawn = "yes" if truth[answer.finding.id] else "no"
    agrees = _agrees(answer, truth)
    return drawn if agrees is None else f"{drawn}, {'agrees' if agrees else '[bold red]differs[/]'}"


def figure(value: float | None) -> str:
    """Return a score as people read it."""
    return "-" if value is None else f"{value:.3f}"
