"""Fields that the models of a findings file refuse, by the type of pydantic's error.

A mend never invents a code, a person or an example: it leaves such a field out.
"""

import re
from collections.abc import Callable, Iterator
from difflib import get_close_matches
from functools import partial
from itertools import chain

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from triage.findings.entries import (
    MOST_EXAMPLES,
    CodeEntry,
    ExamplesEntry,
    FindingEntry,
    FindingsFile,
)
from triage.findings.lint.document import EXAMPLE, FindingsDocument, find_end, quote, state
from triage.findings.lint.problem import Code, Explanation, Found, Severity, find_place, shorten
from triage.yaml_models import Location, StrictModel

THRESHOLDS = ("threshold", "cutoff", "limit", "rule_in", "rule_out", "specific", "calibration")
VIEWS = "cine_lax, cine_sa"  #: of the shipped models, as an example
ID_MAX = 32
#: Fields whose container is left out in their place.
REQUIRED = {"findings", "id", "name", "views", "value", "scheme", "meaning", "present"}
Texts = Iterator[str]


class Fault:
    """One error of the models, with the node that it is about."""

    def __init__(self, document: FindingsDocument, details: ErrorDetails) -> None:
        self.document, self.details = document, details
        self.type, self.location = details["type"], tuple(details["loc"])
        self.node, self.found = document.find(self.location)
        self.key = document.find_key(self.found)

    @property
    def field(self) -> str:
        """The name of the field, without the index of an item."""
        names = [part for part in self.found if isinstance(part, str)]
        return names[-1] if names else "findings"

    def report(
        self,
        code: Code,
        sentence: str,
        expected: str,
        mends: Callable[[], Texts],
        *,
        node: yaml.Node | None = None,
    ) -> Found:
        """Return the problem at a node; after the mends of its own come those that leave out."""
        at = node or self.node
        length = len(self.document.source(at).split("\n", 1)[0].rstrip())
        return Found(
            Explanation(code, sentence, expected),
            Severity.ERROR,
            int(at.start_mark.index),
            max(1, length),
            lambda: chain(mends(), leave_out(self.document, self.found)),
        )


def leave_out(document: FindingsDocument, location: Location) -> Texts:
    """Yield the text without a part, without what contains it, and at last an example file."""
    for end in range(len(location), 0, -1):
        is_required = location[end - 1] in REQUIRED
        if not is_required and document.get(*location[:end]) is not None:
            yield document.without(location[:end])
    yield EXAMPLE


def find_refused_fields(document: FindingsDocument) -> FindingsFile | list[Found]:
    """Return the content as a model, or the problems that pydantic and its checks find."""
    try:
        return FindingsFile.model_validate(document.content)
    except ValidationError as error:
        faults = [Fault(document, details) for details in error.errors(include_url=False)]
    found = [problem for fault in faults for problem in _explain(fault)]
    found = found or list(_explain_other(faults[0]))
    return list({(each.explanation, each.index): each for each in found}.values())


def _explain(fault: Fault) -> Iterator[Found]:
    yield from EXPLANATIONS.get(fault.type, _explain_other)(fault)


def _explain_other(fault: Fault) -> Iterator[Found]:
    yield fault.report(
        Code.INVALID,
        f"`{fault.field}` is not valid: {fault.details['msg']}",
        "a value as README.md describes it",
        lambda: iter(()),
    )


def _explain_extra(fault: Fault) -> Iterator[Found]:
    name = shorten(fault.location[-1])
    is_threshold = any(term in name.lower() for term in THRESHOLDS)
    yield _explain_threshold(fault, name) if is_threshold else _explain_unknown(fault, name)


def _explain_threshold(fault: Fault, name: str) -> Found:
    return fault.report(
        Code.THRESHOLD,
        f"`{name}`: thresholds belong to the calibration of the model, because another model "
        "gives other scores to the same prompts",
        "a finding without a threshold",
        lambda: iter(()),
        node=fault.key,
    )


def _explain_unknown(fault: Fault, name: str) -> Found:
    fields = _list_fields(fault.found)
    close = get_close_matches(name.lower(), fields, n=1)

    def mends() -> Texts:
        if close and fault.key is not None:
            yield fault.document.replace(fault.key, close[0])

    hint = f"; `{close[0]}` is" if close else ""
    return fault.report(
        Code.UNKNOWN_FIELD,
        f"`{name}` is no known field{hint}",
        f"one of {', '.join(fields)}",
        mends,
        node=fault.key,
    )


def _list_fields(location: Location) -> list[str]:
    """Return the fields that the mapping around a location may have."""
    around = location[-2] if len(location) > 1 else ""
    models: dict[str, type[StrictModel]] = {
        "code": CodeEntry,
        "site": CodeEntry,
        "examples": ExamplesEntry,
        "": FindingsFile,
    }
    return list(models.get(str(around), FindingEntry).model_fields)


def _explain_missing(fault: Fault) -> Iterator[Found]:
    name, document, node = str(fault.location[-1]), fault.document, fault.node
    if not isinstance(node, yaml.MappingNode):
        return
    unknown = [str(key.value) for key, _ in node.value]
    if any(name in get_close_matches(each.lower(), [name], n=1) for each in unknown):
        return  # reported as an unknown field, whose mend is this one

    def mends() -> Texts:
        texts = {str(key.value): str(value.value) for key, value in node.value}
        added = {
            "id": f"id: {make_id(texts.get('name', 'finding'))}",
            "name": f"name: {quote(texts.get('id', 'Finding').replace('_', ' ').capitalize())}",
            "views": f"views: [{VIEWS}]",
        }
        if name in added:
            yield document.with_field(node, added[name])

    expected = f"`{name}` beside {', '.join(f'`{each}`' for each in unknown[:3]) or 'the others'}"
    first = node.value[0][0] if node.value else node
    yield fault.report(Code.MISSING_FIELD, f"`{name}` is missing", expected, mends, node=first)


def make_id(text: str) -> str:
    """Return an id made of a text, with the letters, digits and underscores that it has."""
    joined = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")
    return re.sub(r"^[0-9_]+", "", joined)[:ID_MAX].strip("_") or "finding"


def _explain_no_text(fault: Fault) -> Iterator[Found]:
    node, written = fault.node, " ".join(fault.document.source(fault.node).split())
    if isinstance(node, yaml.MappingNode) and not node.flow_style:
        yield fault.report(
            Code.COLON,
            "a colon followed by a space makes a field and its value of this text",
            "quotes around a text with a colon",
            lambda: iter([fault.document.replace(node, quote(written))]),
        )
        return

    sentence = f"`{fault.field}` is empty"
    if written:
        sentence = f"`{shorten(written)}` is a number, a date, yes, no, or a list, and no text"
    mends = partial(_mend_text, fault, written)
    yield fault.report(Code.NO_TEXT, sentence, "a text, if needed in quotes", mends)


def _mend_text(fault: Fault, written: str) -> Texts:
    document, node = fault.document, fault.node
    if isinstance(node, yaml.ScalarNode) and written:
        yield document.replace_text(node, written)
        yield document.replace(node, f'"{written}"')
    if fault.found[-1:] == ("name",):
        finding = document.read_text(int(fault.found[1]), "id") or "finding"
        space = "" if written else " "
        yield document.replace(node, space + quote(finding.replace("_", " ").capitalize()))


def _explain_no_list(fault: Fault) -> Iterator[Found]:
    yield fault.report(
        Code.NO_LIST,
        f"`{fault.field}` is a list, also if it has one item",
        f"a list in brackets, as in [{VIEWS}], or a line with a dash for each item",
        partial(_mend_list, fault),
    )


def _mend_list(fault: Fault) -> Texts:
    node, document, field = fault.node, fault.document, fault.field
    if isinstance(node, yaml.ScalarNode) and node.value:
        parts = [part.strip() for part in node.value.split(",") if part.strip()]
        if field == "views":
            yield document.replace(node, f"[{', '.join(quote(part) for part in parts)}]")
        yield document.replace(node, f"[{quote(node.value)}]")
    elif isinstance(node, yaml.MappingNode) and field == "findings" and not node.flow_style:
        indented = document.source(node).replace("\n", "\n  ")
        yield document.replace(node, f"- {indented}")
    elif isinstance(node, yaml.MappingNode):
        keys = ", ".join(quote(str(key.value)) for key, _ in node.value)
        yield document.replace(node, f"[{keys}]")
    if field == "views":
        yield document.replace(node, f" [{VIEWS}]")


def _explain_no_fields(fault: Fault) -> Iterator[Found]:
    if fault.field == "examples" and fault.found:
        yield from _explain_examples(fault)
        return

    def mends() -> Texts:
        if not fault.found and isinstance(fault.node, yaml.SequenceNode):
            yield "findings:\n" + fault.document.text.removeprefix("\ufeff")

    what = f"`{fault.field}`" if fault.found else "the file"
    if fault.found[:-1] == ("findings",):
        what = "an item of `findings`"
    expected = "fields as in `name: value`" if fault.found else "`findings:` and a list of findings"
    yield fault.report(Code.NO_FIELDS, f"{what} has no fields of its own", expected, mends)


def _explain_examples(fault: Fault) -> Iterator[Found]:
    is_mapping = isinstance(fault.node, yaml.MappingNode)
    if is_mapping and fault.type == "literal_error":
        return  # the fields have problems of their own
    yield fault.report(
        Code.EXAMPLES_FORM,
        "`examples` has neither lists of studies nor the value `confirmed`",
        "`confirmed`, or `present` and `absent` with lists of Study Instance UIDs",
        lambda: iter([fault.document.replace(fault.node, "confirmed")]),
    )


def _explain_length(fault: Fault) -> Iterator[Found]:
    node = fault.node
    if isinstance(node, yaml.SequenceNode):
        yield from _explain_count(fault, node)
        return
    context = fault.details.get("ctx", {})
    most, fewest = context.get("max_length"), context.get("min_length")
    yield fault.report(
        Code.LENGTH,
        f"`{fault.field}` has {len(str(node.value).strip())} characters here",
        f"at most {most} characters" if most else f"at least {fewest} characters",
        partial(_mend_length, fault, most),
    )


def _mend_length(fault: Fault, most: int | None) -> Texts:
    document, node = fault.document, fault.node
    if most and fault.field in {"name", "prompts", "verified_by"}:
        cut = str(node.value).strip()[:most]
        yield document.replace_text(node, cut.rpartition(" ")[0] or cut)
    if fault.found[-1:] == ("name",):
        finding = document.read_text(int(fault.found[1]), "id") or "finding"
        yield document.replace_text(node, finding.replace("_", " ").capitalize())
    if fault.field == "prompts":
        yield document.replace_text(node, state(document.read_text(int(fault.found[1]), "name")))


def _explain_count(fault: Fault, listed: yaml.SequenceNode) -> Iterator[Found]:
    items = listed.value

    def mends() -> Texts:
        if len(items) > MOST_EXAMPLES:
            start = items[MOST_EXAMPLES - 1]
            text, end = fault.document.text, find_end(fault.document.text, listed)
            closing = 1 if listed.flow_style else 0
            yield text[: find_end(text, start)] + text[end - closing :]
        yield from leave_out(fault.document, fault.found[:-1])

    yield fault.report(
        Code.EXAMPLES_COUNT,
        f"`{fault.field}` has {len(items)} studies",
        f"1 to {MOST_EXAMPLES} studies",
        mends,
    )


def _explain_uid(fault: Fault) -> Iterator[Found]:
    digits = re.sub(r"[^0-9.]", "", str(fault.node.value))[:64]
    yield fault.report(
        Code.UID_FORM,
        f"`{shorten(fault.node.value)}` is no Study Instance UID",
        "digits and points, at most 64 characters",
        lambda: iter([fault.document.replace_text(fault.node, digits)] if digits else []),
    )


def _explain_id(fault: Fault) -> Iterator[Found]:
    yield fault.report(
        Code.ID_FORM,
        f"`{shorten(fault.node.value)}` is no id",
        "an id of at most 32 lower-case letters, digits and underscores, a letter first",
        lambda: iter([fault.document.replace_text(fault.node, make_id(str(fault.node.value)))]),
    )


def _explain_double_id(fault: Fault) -> Iterator[Found]:
    document = fault.document
    first: dict[str, yaml.Node] = {}
    for number, _ in document.list_findings():
        node = document.get("findings", number, "id")
        id_ = document.read_text(number, "id")
        if node is None or first.setdefault(id_, node) is node:
            continue
        line, again = (find_place(document.text, n.start_mark.index)[0] for n in (first[id_], node))
        yield _report_at(
            document,
            node,
            Explanation(
                Code.DOUBLE_ID,
                f"the id `{id_}` is used in line {line} and again in line {again}",
                "an id of its own for each finding",
            ),
            mends=[document.replace(node, f"{id_[: ID_MAX - 6]}_{n}") for n in range(2, 9)],
        )


def _report_at(
    document: FindingsDocument,
    node: yaml.Node,
    explanation: Explanation,
    *,
    mends: list[str],
) -> Found:
    length = max(1, len(document.source(node).split("\n", 1)[0]))
    start = int(node.start_mark.index)
    return Found(explanation, Severity.ERROR, start, length, lambda: mends)


def _explain_double_prompt(fault: Fault) -> Iterator[Found]:
    number = int(fault.found[1])
    first: dict[str, yaml.Node] = {}
    for prompt in fault.document.list_prompts():
        if prompt.finding != number:
            continue
        if prompt.text in first:
            line, _ = find_place(fault.document.text, first[prompt.text].start_mark.index)
            yield _report_at(
                fault.document,
                prompt.node,
                Explanation(
                    Code.DOUBLE_PROMPT,
                    f"this prompt is listed in line {line} already and would count twice",
                    "every prompt once",
                ),
                mends=[fault.document.without(("findings", number, "prompts", prompt.index))],
            )
        first.setdefault(prompt.text, prompt.node)


def _explain_double_example(fault: Fault) -> Iterator[Found]:
    seen: dict[str, yaml.Node] = {}
    for side in ("present", "absent"):
        listed = fault.document.get(*fault.found, side)
        for index, node in enumerate(listed.value if isinstance(listed, yaml.SequenceNode) else []):
            uid = str(node.value)
            if uid in seen:
                line, _ = find_place(fault.document.text, seen[uid].start_mark.index)
                yield _report_at(
                    fault.document,
                    node,
                    Explanation(
                        Code.DOUBLE_EXAMPLE,
                        f"this study is listed in line {line} already",
                        "every study once, with the finding or without it",
                    ),
                    mends=[fault.document.without((*fault.found, side, index))],
                )
            seen.setdefault(uid, node)


def _explain_confirmed(fault: Fault) -> Iterator[Found]:
    examples = (*fault.found, "examples")
    yield fault.report(
        Code.CONFIRMED_WITH_PROMPTS,
        "`examples: confirmed` cannot be combined with prompts",
        "prompts, or `examples: confirmed`",
        lambda: iter([fault.document.without(examples)]),
        node=fault.document.find_key(examples),
    )


def _explain_source(fault: Fault) -> Iterator[Found]:
    code = (*fault.found, "code")
    yield fault.report(
        Code.CODE_WITHOUT_SOURCE,
        "a code needs `verified_by`, because a wrong code is worse than none",
        "`verified_by` with the person or source that confirmed the code, or no code",
        lambda: iter([fault.document.without(code)]),
        node=fault.document.find_key(code),
    )


def _explain_no_view(fault: Fault) -> Iterator[Found]:
    views = (*fault.found, "views")
    node = fault.document.get(*views)
    yield fault.report(
        Code.NO_VIEW,
        "a finding needs at least one view in which it is seen",
        f"a list of views, as in [{VIEWS}]",
        lambda: iter([fault.document.replace(node, f"[{VIEWS}]")] if node else []),
        node=node,
    )


def _explain_no_prompt(fault: Fault) -> Iterator[Found]:
    prompts = (*fault.found, "prompts")
    node = fault.document.get(*prompts)
    name = fault.document.read_text(int(fault.found[1]), "name")
    sentence = quote(state(name))

    def mends() -> Texts:
        if node is not None:
            yield fault.document.replace(node, f"[{sentence}]")
        elif isinstance(fault.node, yaml.MappingNode):
            yield fault.document.with_field(fault.node, f"prompts: [{sentence}]")

    yield fault.report(
        Code.NO_PROMPT,
        "a finding needs prompts or examples, or nothing can be measured",
        "`prompts` with sentences as in a report, or `examples`",
        mends,
        node=node,
    )


def _explain_no_finding(fault: Fault) -> Iterator[Found]:
    yield fault.report(
        Code.NO_FINDING,
        "the file has no finding",
        "at least one finding, or no `findings` in the settings",
        lambda: iter([EXAMPLE]),
    )


EXPLANATIONS: dict[str, Callable[[Fault], Iterator[Found]]] = {
    "extra_forbidden": _explain_extra,
    "missing": _explain_missing,
    "string_type": _explain_no_text,
    "tuple_type": _explain_no_list,
    "model_type": _explain_no_fields,
    "literal_error": _explain_examples,
    "string_too_short": _explain_length,
    "string_too_long": _explain_length,
    "too_short": _explain_length,
    "too_long": _explain_length,
    "string_pattern_mismatch": _explain_uid,
    Code.ID_FORM: _explain_id,
    Code.DOUBLE_ID: _explain_double_id,
    Code.DOUBLE_PROMPT: _explain_double_prompt,
    Code.DOUBLE_EXAMPLE: _explain_double_example,
    Code.CONFIRMED_WITH_PROMPTS: _explain_confirmed,
    Code.CODE_WITHOUT_SOURCE: _explain_source,
    Code.NO_VIEW: _explain_no_view,
    Code.NO_PROMPT: _explain_no_prompt,
    Code.NO_FINDING: _explain_no_finding,
}
