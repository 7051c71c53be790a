"""Read a YAML or JSON document into a pydantic model, or say what is wrong on which line.

JSON is read by the YAML parser too, so that its errors carry line numbers as well. Every error is
a ConfigurationError that names file, line, field and mend; all errors of a file come at once.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from triage.domain.errors import ConfigurationError

Location = tuple[str | int, ...]
ENVIRONMENT = "environment"  #: what errors call the place of an overlay


class StrictModel(BaseModel):
    """A frozen document part in which an unknown field is an error: it is a misspelt one."""

    model_config = ConfigDict(frozen=True, extra="forbid")


Document = TypeVar("Document", bound=StrictModel)


def parse(
    text: str,
    model: type[Document],
    name: str,
    overlay: Mapping[Location, str] | None = None,
) -> Document:
    """Validate `text` against `model`; `name` is what errors call the document.

    `overlay` sets single fields over those of the text; its values are YAML scalars. An item of a
    list goes by its name there.
    """
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        content = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigurationError(f"{name}, line {line}: not YAML: {error.problem}") from None
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{name}: not YAML: {error}") from None
    lines = dict(_lines(root, ())) if root else {}
    repeated = list(_repeated_keys(root)) if root else []
    if repeated:
        raise ConfigurationError("\n".join(f"{name}, {what}" for what in repeated))
    content = {} if content is None else content
    overlay = {_indexed(content, where): value for where, value in (overlay or {}).items()}
    for location, value in overlay.items():
        _put(content, location, value)
    try:
        return model.model_validate(content)
    except ValidationError as error:
        problems = []
        for each in error.errors():
            where = _as_written(content, each)
            place = _place(name, lines, overlay, where)
            problems.append(f"{place}: {_field(where)}{_said(each)}")
        raise ConfigurationError("\n".join(problems)) from None


def read(
    path: Path, model: type[Document], overlay: Mapping[Location, str] | None = None
) -> Document:
    """Read the file at `path` as `model`; errors name the file and the line."""
    return parse(read_text(path), model, str(path), overlay)


def read_text(path: Path) -> str:
    """Return the text of a file that a person named in a configuration."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path} is not UTF-8 text") from None


def _lines(node: yaml.Node, location: Location) -> list[tuple[Location, int]]:
    found = [(location, node.start_mark.line + 1)]
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            found.append(((*location, key.value), key.start_mark.line + 1))
            found += _lines(value, (*location, key.value))[1:]
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            found += _lines(value, (*location, index))
    return found


def _repeated_keys(node: yaml.Node) -> list[str]:
    """YAML keeps the last of two equal keys in silence; here the first one would be lost."""
    if isinstance(node, yaml.SequenceNode):
        return [what for value in node.value for what in _repeated_keys(value)]
    if not isinstance(node, yaml.MappingNode):
        return []
    seen: set[str] = set()
    found = []
    for key, value in node.value:
        if key.value in seen:
            found.append(f"line {key.start_mark.line + 1}: {key.value}: stands here twice")
        seen.add(key.value)
        found += _repeated_keys(value)
    return found


def _place(
    name: str,
    lines: dict[Location, int],
    overlay: Mapping[Location, str],
    location: Sequence[str | int],
) -> str:
    """Say where a field was set: on which line, or beside the document."""
    if any(tuple(location[: len(each)]) == each for each in overlay):
        return ENVIRONMENT
    for end in range(len(location), 0, -1):
        if tuple(location[:end]) in lines:
            return f"{name}, line {lines[tuple(location[:end])]}"
    return f"{name}, line 1"


def _as_written(content: Any, error: ErrorDetails) -> Location:
    """Return where an error is, without the kinds by which pydantic tells entries apart."""
    missing = error["loc"][-1:] if error["type"] == "missing" else ()
    kept: list[str | int] = []
    for part in error["loc"]:
        try:
            content = content[part]
        except (LookupError, TypeError):  # nothing of that name was written
            if part not in missing:
                continue
        kept.append(part)
    return tuple(kept)


def _said(error: ErrorDetails) -> str:
    plain = {"extra_forbidden": "is no known field; check its spelling", "missing": "is missing"}
    return plain.get(error["type"], error["msg"].removeprefix("Value error, "))


def _field(location: Sequence[str | int]) -> str:
    return ".".join(str(part) for part in location) + ": " if location else ""


def _indexed(content: Any, location: Location) -> Location:
    """Return a location with the names of items of a list as their places in it."""
    found: list[str | int] = []
    for part in location:
        key = part
        if isinstance(content, list):
            names = [each.get("name") if isinstance(each, dict) else None for each in content]
            key = names.index(part) if part in names else part
        found.append(key)
        try:
            content = content[key]
        except (LookupError, TypeError):
            content = None
    return tuple(found)


def _put(content: Any, location: Location, value: str) -> None:
    *path, last = location
    try:
        for part in path:
            content = content[part] if isinstance(part, int) else content.setdefault(part, {})
        content[last] = yaml.safe_load(value)
    except (AttributeError, TypeError):
        raise ConfigurationError(
            f"{ENVIRONMENT}: {_field(location)}only fields can be set one by one, and those of an "
            "item of a list by its name: else set the whole list, as in [a, b]"
        ) from None
    except yaml.YAMLError:
        raise ConfigurationError(f"{ENVIRONMENT}: {_field(location)}not YAML: {value}") from None
