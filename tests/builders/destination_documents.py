"""The parts of the documents that are generated from the registered destinations.

`python -m tests.builders.destination_documents` writes them to deploy/triage.yaml and
deploy/CONFORMANCE.md.
"""

import re
from collections.abc import Iterable
from pathlib import Path

import yaml

from tests.builders.delivery_answers import TABLES, render_answers
from triage.destinations import DESTINATIONS
from triage.destinations.destination_type import DestinationType
from triage.domain.audit import EXPORT, INSTANCES_TRANSFERRED

DEPLOY = Path(__file__).parents[2] / "deploy"
EXAMPLE, STATEMENT = DEPLOY / "triage.yaml", DEPLOY / "CONFORMANCE.md"
#: The list of destinations in the example settings, up to the next comment or key at the margin.
ENTRIES = re.compile(r"(?<=^destinations:\n).*?(?=\n^\S)", re.DOTALL | re.MULTILINE)
KEY = re.compile(r"^( *)(?=[a-z0-9_]+:)")


def render_entries(destinations: Iterable[DestinationType]) -> str:
    """Return the entries of `destinations`; all but the first are commented out."""
    entries = [_render_entry(d, is_on=not i) for i, d in enumerate(destinations)]
    return "\n".join(entries)


def _render_entry(destination: DestinationType, *, is_on: bool) -> str:
    """Return an entry as an item of a YAML list, commented out unless `is_on`."""
    off = "" if is_on else "#"
    lines, indent = [], "  "  # the first key begins the item and is not indented further
    for line in destination.example.splitlines():
        if KEY.match(line) and indent == "  ":
            lines.append(f"{indent}{off}- {line}")
            indent = "    "
        else:
            lines.append(f"{indent}{_switch(line, off)}".rstrip())
    return "\n".join(lines) + "\n"


def _switch(line: str, off: str) -> str:
    return KEY.sub(rf"\1{off}", line)


def render_table(destinations: Iterable[DestinationType]) -> str:
    """Return the table of destinations of the conformance statement."""
    rows = [
        "| `kind` | Protocol | Takes | A product counts as delivered when | Audit message |",
        "| --- | --- | --- | --- | --- |",
    ]
    for d in destinations:
        takes = ", ".join(f"`{media_type}`" for media_type in d.media_types)
        event = EXPORT if is_export(d) else INSTANCES_TRANSFERRED
        rows.append(
            f"| `{d.kind}` | {d.protocol} | {takes} | {d.delivered_when} | {event.meaning} |"
        )
    return "\n".join(rows)


def is_export(destination: DestinationType) -> bool:
    """Return whether products leave DICOM there (PS3.15 A.5.3.4)."""
    settings = destination.settings.model_validate(yaml.safe_load(destination.example))
    return not settings.audit_peer().is_dicom


def render_tables(destinations: Iterable[DestinationType]) -> dict[str, str]:
    """Return the generated tables of the conformance statement by their markers."""
    answers = {f"{kind} answers": render_answers(kind) for kind in TABLES}
    return {"destinations": render_table(destinations), **answers}


def find_marked(marker: str) -> re.Pattern[str]:
    """Return the pattern of the text between the comments of a marker."""
    return re.compile(rf"(?<=<!-- {marker}: begin -->\n).*?(?=\n<!-- {marker}: end -->)", re.DOTALL)


def main() -> None:
    """Write the generated parts."""
    kinds = DESTINATIONS.values()
    text = EXAMPLE.read_text(encoding="utf-8")
    EXAMPLE.write_text(ENTRIES.sub(lambda _: render_entries(kinds), text), encoding="utf-8")
    text = STATEMENT.read_text(encoding="utf-8")
    for marker, table in render_tables(kinds).items():
        text = find_marked(marker).sub(lambda _, table=table: table, text)  # type: ignore[misc]
    STATEMENT.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
