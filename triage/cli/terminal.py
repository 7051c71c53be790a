"""Output on a terminal: tables, progress bars and plain lines.

Every flag is printed with its reason, and views without images are always listed.

Texts may come from the network: both consoles show the control characters of any text as `?`, and
the cells of a table are never read as markup (`add_plain_row`).
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import (
    Console,
    ConsoleOptions,
    ConsoleRenderable,
    RenderableType,
    RenderHook,
    RenderResult,
)
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.segment import Segment
from rich.table import Table
from rich.text import Text
from sqlalchemy import Row

from triage.domain.assessment import Answer, Assessment, Flag
from triage.domain.delivery import DeadLetter, Delivery, Outage
from triage.domain.study import State
from triage.telemetry.control_characters import replace_control_characters


class _PlainText:
    """The output of a console, with the control characters of its texts replaced."""

    def __init__(self, printed: RenderableType) -> None:
        self._printed = printed

    def __rich_console__(self, on: Console, options: ConsoleOptions) -> RenderResult:
        for segment in on.render(self._printed, options):
            if segment.control:  # a cursor movement of a progress bar, not a text
                yield segment
            else:
                yield Segment(replace_control_characters(segment.text), segment.style)


class _PlainTextHook(RenderHook):
    """Replaces the control characters of all that a console prints."""

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        """Return each part so that its texts have no control characters."""
        return [_PlainText(printed) for printed in renderables]


def _open_console(*, stderr: bool) -> Console:
    opened = Console(stderr=stderr)
    opened.push_render_hook(_PlainTextHook())
    return opened


console = _open_console(stderr=False)
errors = _open_console(stderr=True)

NAMELESS = "(no description)"
COLOURS = {
    State.DELIVERED: "green",
    State.ASSESSED: "cyan",
    State.DECLINED: "yellow",
    State.FAILED: "bold red",
}
FLAG_COLOURS = {Flag.YES: "bold red", Flag.NO: "green", Flag.NOT_EVALUATED: "yellow"}


def write(text: str, style: str | None = None) -> None:
    """Print text without markup; long lines are not broken, so that paths can be copied."""
    console.print(text, markup=False, highlight=False, soft_wrap=True, style=style)


def warn(text: str) -> None:
    """Print text to stderr, in red on a terminal."""
    errors.print(text, markup=False, highlight=False, soft_wrap=True, style="red")


def add_plain_row(table: Table, *cells: str | Text, style: str | None = None) -> None:
    """Add a row whose cells are shown as they are: brackets in them are no markup of rich."""
    texts = (cell if isinstance(cell, Text) else Text(cell) for cell in cells)
    table.add_row(*texts, style=style)


class HourlyRateColumn(ProgressColumn):
    """The rate of a progress bar in items an hour."""

    def render(self, task: Task) -> str:  # noqa: D102
        return f"{task.speed * 3600:,.0f} an hour" if task.speed else ""


@contextmanager
def progress(description: str, total: int, *, hourly: bool = False) -> Iterator[Progress]:
    """Show a progress bar whose task 0 the caller advances; `hourly` adds the rate an hour."""
    columns = (
        TextColumn(description),
        BarColumn(),
        MofNCompleteColumn(),
        *([HourlyRateColumn()] if hourly else []),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=errors) as bar:
        bar.add_task(description, total=total)
        yield bar


@contextmanager
def byte_progress(description: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show a progress bar of bytes; yield the function that takes the number of further bytes."""
    columns = (TextColumn(description), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=errors) as bar:
        task = bar.add_task(description, total=total)
        yield lambda count: bar.advance(task, count)


def print_flags(assessment: Assessment, truth: Mapping[str, bool] | None = None) -> None:
    """Print an assessment: flags with reasons, views, unused series, model and intended use.

    `truth` has for each finding id whether a synthetic heart was drawn with it, and each flag is
    compared with it. None: the truth is unknown.
    """
    if assessment.note:
        console.print(escape(assessment.note), style="bold yellow")
    console.print(_build_flag_table(assessment, truth))
    if truth:
        known = [_is_right(answer, truth) for answer in assessment.answers]
        given = [is_right for is_right in known if is_right is not None]
        write(f"{sum(given)} of {len(given)} flags agree with the heart that was drawn")
    if (found := assessment.familiarity) is not None:
        likeness = "in-distribution, like" if found.is_known else "out-of-distribution, unlike"
        write(f"{likeness} the studies that the model knows: {found.figures}")
        write(f"least familiar view: {found.strangest_view}")
    _print_series(assessment)
    model = assessment.model
    write(f"{model.name} {model.version}: {model.intended_use}")


def _print_series(assessment: Assessment) -> None:
    """Print the series of each view, the views without images, and the unused series."""
    for used in assessment.used:
        write(f"view {used.view}: {used.series_description or NAMELESS} ({used.why})")
    for missing in assessment.missing:
        write(f"no images for view {missing.view}: {missing.reason}")
    if assessment.unused:
        images = sum(stack.images for stack in assessment.unused)
        write(f"not used: {len(assessment.unused)} series, {images} images:")
        for stack in assessment.unused:
            name = stack.series_description or NAMELESS
            write(f"    {name}, {stack.images} images: {stack.reason}")


def _build_flag_table(assessment: Assessment, truth: Mapping[str, bool] | None) -> Table:
    """Return the table of flags; at 80 columns it wraps between words and breaks none."""
    table = Table(
        title=f"Flag: {assessment.flag}   Priority: {assessment.priority}",
        padding=(0, 0),
        show_lines=True,
    )
    table.add_column("Finding", overflow="fold", ratio=3)
    for heading in ("Flag", "Score", "Threshold"):
        table.add_column(heading, overflow="fold", min_width=len(heading))
    table.add_column("Why", overflow="fold", ratio=4)
    if truth:
        table.add_column("Drawn", overflow="fold", min_width=len("unknown"))
    for answer in assessment.answers:
        add_plain_row(
            table,
            answer.finding.name,
            Text(answer.flag, FLAG_COLOURS[answer.flag]),
            format_score(answer.score),
            format_score(answer.threshold),
            answer.reason,
            *([_compare_with_truth(answer, truth)] if truth else []),
        )
    return table


def _is_right(answer: Answer, truth: Mapping[str, bool]) -> bool | None:
    """Return whether a flag is right; None without a flag or without a truth for it."""
    if answer.flag is Flag.NOT_EVALUATED or answer.finding.id not in truth:
        return None
    return (answer.flag is Flag.YES) == truth[answer.finding.id]


def _compare_with_truth(answer: Answer, truth: Mapping[str, bool]) -> Text:
    if answer.finding.id not in truth:
        return Text("unknown")
    drawn = "yes" if truth[answer.finding.id] else "no"
    match _is_right(answer, truth):
        case None:
            return Text(drawn)
        case True:
            return Text(f"{drawn}, agrees")
        case _:
            return Text.assemble(f"{drawn}, ", ("differs", "bold red"))


def print_stacks(title: str, rows: Sequence[Sequence[str]]) -> None:
    """Print the image stacks of a study: kind, use and reason; used stacks are green."""
    table = Table(title=escape(title))
    for heading in ("Series", "Images", "Sequence", "View", "Used for", "Why"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        add_plain_row(table, *row, style="green" if row[4] else None)
    console.print(table)


def print_deliveries(deliveries: Sequence[Delivery]) -> None:
    """Print the deliveries of a study."""
    table = Table(title="Deliveries")
    for heading in ("No.", "Destination", "Product", "State", "Attempts", "Last answer"):
        table.add_column(heading, overflow="fold")
    for delivery in deliveries:
        add_plain_row(
            table,
            str(delivery.id),
            delivery.destination,
            delivery.product.kind,
            delivery.state,
            str(delivery.attempts),
            delivery.last_answer,
            style="yellow" if delivery.has_warning else None,
        )
    console.print(table)


def print_outages(outages: Sequence[Outage]) -> None:
    """Print the destinations that do not answer; nothing if all do."""
    if not outages:
        return
    table = Table(title="Destinations that do not answer; one delivery at a time is tried")
    for heading in ("Destination", "Since", "Waiting", "Next try", "Last answer"):
        table.add_column(heading, overflow="fold")
    for outage in outages:
        add_plain_row(
            table,
            outage.destination,
            format_time(outage.since),
            str(outage.waiting),
            format_time(outage.again_at),
            outage.last_answer,
            style="yellow",
        )
    console.print(table)


def print_dead_letters(newest: Sequence[DeadLetter], count: int) -> None:
    """Print the newest of `count` deliveries that were given up; nothing if there are none."""
    if not newest:
        return
    table = Table(title=f"Given up: {count} deliveries, newest first; `triage replay` sends again")
    for heading in ("No.", "When", "Study UID", "Rev.", "Destination", "Product", "Last answer"):
        table.add_column(heading, overflow="fold")
    for letter in newest:
        add_plain_row(
            table,
            str(letter.id),
            format_time(letter.at),
            letter.study_uid,
            str(letter.revision),
            letter.destination,
            letter.kind,
            f"{letter.last_answer} (attempt {letter.attempts})",
        )
    console.print(table)


def print_history(events: Sequence[Row[Any]]) -> None:
    """Print the events of a study in order."""
    table = Table(title="History")
    for heading in ("When", "Rev.", "Event", "State", "Why"):
        table.add_column(heading, overflow="fold")
    for event in events:
        row = format_time(event.at), str(event.revision), event.event, event.state
        add_plain_row(table, *row, event.reason)
    console.print(table)


def print_incidents(incidents: Sequence[Row[Any]], title: str) -> None:
    """Print incidents of the ledger, newest first; nothing if there are none."""
    if not incidents:
        return
    table = Table(title=f"{title}, newest first")
    for heading in ("When", "What", "From", "Why", "Kept as"):
        table.add_column(heading, overflow="fold")
    for incident in incidents:
        kind = incident.kind
        if incident.times != 1:
            kind = f"{kind}, {incident.times} times"
        source = f"{incident.calling_ae} {incident.address}"
        texts = (source, incident.detail, incident.path)
        add_plain_row(table, format_time(incident.at), kind, *texts)
    console.print(table)


def format_time(at: float) -> str:
    """Return seconds since the epoch as local date and time."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))


def format_score(value: float | None) -> str:
    """Return a score with three decimals; a dash for None."""
    return "-" if value is None else f"{value:.3f}"
