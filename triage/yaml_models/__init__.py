"""Read a YAML or JSON document into a pydantic model, with errors that name the line.

JSON is read by the YAML parser too, so that its errors carry line numbers as well. Every error is
a ConfigurationError that names file, line, field and remedy. All errors of a file are reported at
once. An error never repeats a value of the environment, because it may be a password.

A document has bounds, because YAML's aliases (`*name`) make a kilobyte a million nodes, and the
parser calls itself for each level.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from triage.domain.errors import ConfigurationError

TEXT_MAX = 1 << 20  #: characters of a document
NODES_MAX = 20_000  #: of a document, those behind its aliases included; each takes about 1 KB
DEPTH_MAX = 50  #: nested lists and mappings; our own documents have up to 8

Location = tuple[str | int, ...]
ENVIRONMENT = "environment"  #: the place that errors name for a field set by the overlay


class StrictModel(BaseModel):
    """A frozen part of a document; an unknown field is an error, because it is a misspelt one."""

    model_config = ConfigDict(frozen=True, extra="forbid")


Document = TypeVar("Document", bound=StrictModel)


def parse(
    text: str,
    model: type[Document],
    name: str,
    overlay: Mapping[Location, str] | None = None,
) -> Document:
    """Validate `text` against `model`; errors call the document `name`.

    `overlay` sets single fields over those of the text; its values are YAML scalars, and its
    locations give an item of a list by the item's `name` field. Raises ConfigurationError.
    """
    root, content = _load(text, name)
    lines = dict(_find_lines(root, ())) if root else {}
    if repeated := list(find_repeated_keys(root)) if root else []:
        raise ConfigurationError(
            "\n".join(
                f"{name}, line {again.start_mark.line + 1}: {again.value}: is given twice"
                for _, again in repeated
            )
        )
    content = {} if content is None else content
    overlay = {_resolve_names(content, where): value for where, value in (overlay or {}).items()}
    for location, value in overlay.items():
        _set_field(content, location, value)
    try:
        return model.model_validate(content)
    except ValidationError as error:
        problems = []
        for details in error.errors():
            where = _find_written_location(content, details)
            place = _describe_place(name, lines, overlay, where)
            problem = _hide_values(_describe_problem(details), overlay, where)
            problems.append(f"{place}: {_format_field(where)}{problem}")
        raise ConfigurationError("\n".join(problems)) from None


def read(
    path: Path, model: type[Document], overlay: Mapping[Location, str] | None = None
) -> Document:
    """Read the file at `path` as `model`; errors name the file and the line."""
    return parse(read_text(path), model, str(path), overlay)


def read_text(path: Path) -> str:
    """Return the text of a file named in a configuration; raise ConfigurationError."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path} is not UTF-8 text") from None


def _load(text: str, name: str) -> tuple[yaml.Node | None, Any]:
    """Return the node tree of a document, which has the line numbers, and its content."""
    if len(text) > TEXT_MAX:
        raise ConfigurationError(f"{name}: is longer than {TEXT_MAX} characters")
    try:
        root, content = compose(text)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigurationError(f"{name}, line {line}: not YAML: {error.problem}") from None
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{name}: not YAML: {error}") from None
    return root, content


class _BoundedLoader(yaml.SafeLoader):
    """A loader that ends with an error at the first node beyond the bounds."""

    _nodes = _depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Return the next node; raises YAMLError beyond NODES_MAX and DEPTH_MAX."""
        self._nodes += 1
        self._depth += 1
        mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
        _require_bounds(self._nodes, self._depth, mark)
        node: yaml.Node | None = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def construct_object(self, *node: Any, **deep: Any) -> Any:
        """Return the value of a node; raises YAMLError for one that Python cannot hold."""
        try:
            return super().construct_object(*node, **deep)
        except (ValueError, OverflowError):  # a date such as 2026-99-99, a number of 5,000 digits
            raise yaml.MarkedYAMLError(
                problem="it has a date or a number that cannot be read",
                problem_mark=node[0].start_mark,
            ) from None


def compose(text: str) -> tuple[yaml.Node | None, Any]:
    """Return the node tree of a text, with its marks, and its content.

    Raises YAMLError for what is no YAML, or is beyond NODES_MAX or DEPTH_MAX. It has a mark, unless
    it is a ReaderError.
    """
    loader = _BoundedLoader(text)
    try:
        root: yaml.Node | None = loader.get_single_node()
        if root is None:
            return None, None
        _require_bounded_aliases(root)
        return root, loader.construct_document(root)
    finally:
        loader.dispose()


def _require_bounds(nodes: int, depth: int, mark: yaml.Mark) -> None:
    if nodes > NODES_MAX or depth > DEPTH_MAX:
        raise yaml.MarkedYAMLError(
            problem=f"it has more than {NODES_MAX} values or more than {DEPTH_MAX} levels of "
            "lists and mappings",
            problem_mark=mark,
        )


def _require_bounded_aliases(root: yaml.Node) -> None:
    """Raise YAMLError if the document is beyond the bounds with every alias written out."""
    nodes, waiting = 0, [(root, 1)]
    while waiting:
        node, depth = waiting.pop()
        nodes += 1
        _require_bounds(nodes, depth, node.start_mark)
        if isinstance(node, yaml.MappingNode):
            waiting += [(part, depth + 1) for pair in node.value for part in pair]
        elif isinstance(node, yaml.SequenceNode):
            waiting += [(part, depth + 1) for part in node.value]


def _find_lines(node: yaml.Node, location: Location) -> list[tuple[Location, int]]:
    found = [(location, node.start_mark.line + 1)]
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            found.append(((*location, key.value), key.start_mark.line + 1))
            found += _find_lines(value, (*location, key.value))[1:]
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            found += _find_lines(value, (*location, index))
    return found


def find_repeated_keys(node: yaml.Node) -> Iterator[tuple[yaml.Node, yaml.Node]]:
    """Yield the first and the repeated key of each key that a mapping has twice.

    YAML would silently use the last one.
    """
    if isinstance(node, yaml.SequenceNode):
        for value in node.value:
            yield from find_repeated_keys(value)
    if not isinstance(node, yaml.MappingNode):
        return
    seen: dict[str, yaml.Node] = {}
    for key, value in node.value:
        if key.value in seen:
            yield seen[key.value], key
        seen.setdefault(key.value, key)
        yield from find_repeated_keys(value)


def _describe_place(
    name: str,
    lines: dict[Location, int],
    overlay: Mapping[Location, str],
    location: Sequence[str | int],
) -> str:
    """Return where a field was set: a line of the document, or the environment."""
    if any(tuple(location[: len(overlaid)]) == overlaid for overlaid in overlay):
        return ENVIRONMENT
    for end in range(len(location), 0, -1):
        if tuple(location[:end]) in lines:
            return f"{name}, line {lines[tuple(location[:end])]}"
    return f"{name}, line 1"


def _find_written_location(content: Any, error: ErrorDetails) -> Location:
    """Return an error's location without the tags that pydantic adds for discriminated unions."""
    missing = error["loc"][-1:] if error["type"] == "missing" else ()
    location: list[str | int] = []
    for part in error["loc"]:
        try:
            content = content[part]
        except (LookupError, TypeError):  # the document has nothing of that name
            if part not in missing:
                continue
        location.append(part)
    return tuple(location)


def _describe_problem(error: ErrorDetails) -> str:
    plain = {"extra_forbidden": "is no known field; check its spelling", "missing": "is missing"}
    return plain.get(error["type"], error["msg"].removeprefix("Value error, "))


def _hide_values(problem: str, overlay: Mapping[Location, str], location: Location) -> str:
    """Return a problem without the value that the environment has set there."""
    for overlaid, value in overlay.items():
        if location[: len(overlaid)] == overlaid and value:
            problem = problem.replace(value, "(not shown)")
    return problem


def _format_field(location: Sequence[str | int]) -> str:
    return ".".join(str(part) for part in location) + ": " if location else ""


def _resolve_names(content: Any, location: Location) -> Location:
    """Return a location with the names of list items replaced by their indexes."""
    resolved: list[str | int] = []
    for part in location:
        key = part
        if isinstance(content, list):
            names = [item.get("name") if isinstance(item, dict) else None for item in content]
            key = names.index(part) if part in names else part
        resolved.append(key)
        try:
            content = content[key]
        except (LookupError, TypeError):
            content = None
    return tuple(resolved)


def _set_field(content: Any, location: Location, value: str) -> None:
    *path, last = location
    try:
        for part in path:
            content = content[part] if isinstance(part, int) else content.setdefault(part, {})
        content[last] = compose(value)[1]
    except (AttributeError, TypeError):
        raise ConfigurationError(
            f"{ENVIRONMENT}: {_format_field(location)}a single field can be set, and an item of a "
            "list is given by its name; to change more, set the whole list, as in [a, b]"
        ) from None
    except yaml.YAMLError:
        raise ConfigurationError(
            f"{ENVIRONMENT}: {_format_field(location)}not YAML (the value is not shown, because "
            "it may be a secret): put it between single quotes"
        ) from None
