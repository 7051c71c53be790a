"""Studies as text and as JSON, for `triage status`.

A study has a line with its figures and a line with its whole UID, so that both can be read and
copied on a terminal of 80 columns.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich.text import Text
from sqlalchemy import Row

from triage.cli import terminal
from triage.dimse.storage_classes import describe_class
from triage.domain.assessment import Flag
from triage.domain.delivery import Delivery
from triage.domain.overview import StudyOverview

#: Headings and their widths; at most 80 columns with a space between two.
COLUMNS = (
    ("Since", 16),
    ("State", 9),
    ("Flag", 13),
    ("Priority", 8),
    ("Accession", 16),
    ("Rev.", 4),
    ("Images", 6),
)
INDENT = "    "
MINUTE = len("2026-01-31 12:00")


def print_page(studies: Sequence[StudyOverview], total: int, limit: int, page: int) -> None:
    """Print a page of studies, and how to see the next one."""
    pages = max(1, -(-total // limit))
    terminal.write(f"{total} studies, newest first; page {page} of {pages}")
    print_revisions(studies)
    if page < pages:
        terminal.write(f"older studies: --page {page + 1}")


def print_revisions(studies: Sequence[StudyOverview]) -> None:
    """Print revisions of studies with their UID, reason and refused reports."""
    if studies:
        terminal.write(_lay_out([heading for heading, _ in COLUMNS]))
    for overview in studies:
        _print_revision(overview)


def print_kept(kept: Mapping[str, int]) -> None:
    """Print how many instances are kept and never assessed, by SOP class."""
    for uid, count in kept.items():
        terminal.write(f"{INDENT}kept, never assessed: {count} of {describe_class(uid)}")


def _print_revision(overview: StudyOverview) -> None:
    study = overview.study
    cells = (
        terminal.format_time(study.changed_at)[:MINUTE],
        study.state,
        study.flag or "-",
        study.priority or "-",
        study.accession_number or "-",
        str(study.revision),
        str(study.instances),
    )
    line = Text(_lay_out(cells))
    line.highlight_words([study.state], terminal.COLOURS.get(study.state, "default"))
    if study.flag is Flag.YES:
        line.highlight_words([f" {Flag.YES} "], terminal.FLAG_COLOURS[Flag.YES])
    terminal.console.print(line, soft_wrap=True)
    terminal.write(f"{INDENT}{study.study_uid}")
    terminal.write(f"{INDENT}{study.reason}")
    for refusal in overview.refusals:
        what = "refused by" if refusal.is_final else "not yet taken by"
        terminal.write(f"{INDENT}{what} {refusal.destination}: {refusal.answer}")


def _lay_out(cells: Sequence[str]) -> str:
    """Return a line with one cell below each heading."""
    padded = (cell.ljust(width) for cell, (_, width) in zip(cells, COLUMNS, strict=True))
    return " ".join(padded).rstrip()


def to_json(overview: StudyOverview) -> dict[str, Any]:
    """Return a revision with its priority and refused reports, for JSON."""
    study = overview.study
    refusals = [asdict(refusal) for refusal in overview.refusals]
    return {**asdict(study), "priority": study.priority, "refusals": refusals}


def describe(  # noqa: PLR0913, PLR0917 - the parts of what is shown
    revisions: Sequence[StudyOverview],
    history: Sequence[Row[Any]],
    deliveries: Sequence[Delivery],
    summary: str | None,
    incidents: Sequence[Row[Any]],
    kept: Mapping[str, int],
) -> dict[str, Any]:
    """Return everything about one study, for JSON."""
    return {
        "study_uid": revisions[0].study.study_uid,
        "revisions": [to_json(revision) for revision in revisions],
        "history": [_event_to_json(event) for event in history],
        "kept_not_assessed": dict(kept),
        "deliveries": [_delivery_to_json(delivery) for delivery in deliveries],
        "incidents": [_incident_to_json(incident) for incident in incidents],
        "assessment": None if summary is None else json.loads(summary),
    }


def _event_to_json(event: Row[Any]) -> dict[str, Any]:
    return {name: getattr(event, name) for name in ("at", "revision", "event", "state", "reason")}


def _incident_to_json(incident: Row[Any]) -> dict[str, Any]:
    names = ("at", "kind", "detail", "calling_ae", "address", "times")
    return {name: getattr(incident, name) for name in names}


def _delivery_to_json(delivery: Delivery) -> dict[str, Any]:
    return {
        "id": delivery.id,
        "revision": delivery.revision,
        "destination": delivery.destination,
        "product": delivery.product.kind,
        "sop_instance_uid": delivery.product.sop_instance_uid,
        "state": delivery.state,
        "attempts": delivery.attempts,
        "unclear_attempts": delivery.unclear_attempts,
        "last_answer": delivery.last_answer,
        "due_at": delivery.due_at,
    }
