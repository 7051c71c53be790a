"""Keys, characters and views of which the models of a findings file know nothing."""

from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from functools import partial

import yaml

from triage.findings.lint.document import FindingsDocument, find_end
from triage.findings.lint.fields import leave_out
from triage.findings.lint.model import LintModel
from triage.findings.lint.problem import Code, Explanation, Found, Severity, find_place, shorten
from triage.findings.lint.syntax import CURLY
from triage.yaml_models import Location, find_repeated_keys

#: The views of the shipped models, for a file that is not checked against a bundle.
SHIPPED_VIEWS = ("cine_lax", "cine_sa", "lge_sa", "lge_lax", "lge_2ch", "lge_3ch")
#: A curly quote in these fields makes another identifier or code of the value.
EXACT_FIELDS = {"id", "value", "scheme", "views", "present", "absent"}
QUOTES = {mark: straight for mark, straight in CURLY.items() if mark != "`"}


def find_repeated(document: FindingsDocument, _model: LintModel) -> Iterator[Found]:
    """Find a field that is given twice; YAML would use the last one in silence."""
    for first, again in find_repeated_keys(document.root):
        start = int(again.start_mark.index)
        line, _ = find_place(document.text, first.start_mark.index)
        yield Found(
            Explanation(
                Code.REPEATED_KEY,
                f"`{shorten(again.value)}` is given in line {line} already",
                "each field once; a new finding begins with a dash",
            ),
            Severity.ERROR,
            start,
            max(1, find_end(document.text, again) - start),
            partial(_leave_out_key, document, again),
        )


def _leave_out_key(document: FindingsDocument, key: yaml.Node) -> Iterator[str]:
    for parent in _list_nodes(document.root):
        if isinstance(parent, yaml.MappingNode):
            for own, value in parent.value:
                if own is key:
                    yield document.without_part(parent, value, int(key.start_mark.index))
    yield from leave_out(document, ())


def find_curly_quotes(document: FindingsDocument, _model: LintModel) -> Iterator[Found]:
    """Find curly quotes: as first character they mean no quotes, and prompts lose a token."""
    for node, field in _list_scalars(document.root, ""):
        marks = [mark for mark in str(node.value) if mark in QUOTES]
        is_text = field in {"name", "meaning", "verified_by"}
        if not marks or (is_text and str(node.value)[0] not in QUOTES):
            continue
        start = document.find_in(node, marks[0])
        is_exact = field in EXACT_FIELDS
        yield Found(
            Explanation(
                Code.CURLY_QUOTES,
                "curly quotes, as word processors write them, are part of the text and no quotes",
                "straight quotes, or none",
            ),
            Severity.ERROR if is_exact else Severity.WARNING,
            start,
            1,
            partial(_straighten, document, node),
        )


def _straighten(document: FindingsDocument, node: yaml.Node) -> Iterator[str]:
    written = document.source(node)
    for straight in (QUOTES, dict.fromkeys(QUOTES, "'"), dict.fromkeys(QUOTES, "")):
        table = {ord(mark): other for mark, other in straight.items()}
        yield document.replace(node, written.translate(table))


def find_unknown_views(document: FindingsDocument, model: LintModel) -> Iterator[Found]:
    """Find views that the bundle, or without one a shipped model, does not have."""
    known = model.views or SHIPPED_VIEWS
    for number, _ in document.list_findings():
        views = document.get("findings", number, "views")
        for index, node in enumerate(views.value if isinstance(views, yaml.SequenceNode) else []):
            if isinstance(node, yaml.ScalarNode) and node.value not in known:
                yield _report_view(document, node, ("findings", number, "views", index), model)


def _report_view(
    document: FindingsDocument,
    node: yaml.Node,
    location: Location,
    model: LintModel,
) -> Found:
    known = model.views or SHIPPED_VIEWS
    written = str(node.value)
    whose = "the bundle" if model.views else "the shipped models"
    return Found(
        Explanation(
            Code.UNKNOWN_VIEW,
            f"`{shorten(written)}` is no view of {whose}",
            f"one of {', '.join(known)}",
        ),
        Severity.ERROR if model.views else Severity.WARNING,
        int(node.start_mark.index),
        max(1, len(document.source(node))),
        partial(_mend_view, document, node, location, known),
    )


def _mend_view(
    document: FindingsDocument, node: yaml.Node, location: Location, known: Sequence[str]
) -> Iterator[str]:
    bare = str(node.value).strip("".join(QUOTES)).lower().replace("-", "_").replace(" ", "_")
    listed = document.get(*location[:-1])
    others = [each.value for each in listed.value] if listed is not None else []
    for close in get_close_matches(bare, known, n=1):
        if close not in others:
            yield document.replace(node, close)
    if len(others) > 1:
        yield document.without(location)
    yield document.replace(node, known[0])
    yield from leave_out(document, location)


def _list_nodes(node: yaml.Node) -> Iterator[yaml.Node]:
    yield node
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield key
            yield from _list_nodes(value)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            yield from _list_nodes(value)


def _list_scalars(node: yaml.Node, field: str) -> Iterator[tuple[yaml.ScalarNode, str]]:
    """Yield every scalar that is a value, with the field that it belongs to."""
    if isinstance(node, yaml.ScalarNode):
        yield node, field
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield from _list_scalars(value, str(key.value))
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            yield from _list_scalars(value, field)
