"""The text of a findings file with its YAML nodes, and changes of the text.

Each change returns the whole text anew, because a mend is tried before it is shown.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from triage.yaml_models import Location, compose

PROMPT_MAX = 500  #: characters of a prompt; a longer one is an error of its own
PLAIN_MAX = 1000  #: characters of a scalar that may stay without quotes
EXAMPLE = """\
findings:
  - id: lv_dilation
    name: Left ventricular dilation
    prompts:
      - Left ventricle is dilated
    views: [cine_lax, cine_sa]
"""


@dataclass(frozen=True)
class Prompt:
    """A prompt as it is written."""

    finding: int  #: its finding, from 0
    index: int  #: in the list of its finding, from 0
    text: str
    node: yaml.Node


@dataclass(frozen=True)
class FindingsDocument:
    """A text that is YAML, with its nodes."""

    text: str
    root: yaml.Node
    content: Any

    @classmethod
    def read(cls, text: str) -> "FindingsDocument | None":
        """Return the document of a text, None for an empty one; raises YAMLError."""
        root, content = compose(text)
        return None if root is None else cls(text, root, content)

    def find(self, location: Sequence[str | int]) -> tuple[yaml.Node, Location]:
        """Return the deepest node that a location names, and its own location.

        Parts of the location that the document does not have are skipped: pydantic adds tags for
        the members of a union.
        """
        node, path = self.root, []
        for part in location:
            child = _find_child(node, part)
            if child is not None:
                node = child
                path.append(part)
        return node, tuple(path)

    def get(self, *location: str | int) -> yaml.Node | None:
        """Return the node at a location; None if there is none."""
        node, found = self.find(location)
        return node if found == location else None

    def find_key(self, location: Location) -> yaml.Node | None:
        """Return the key of a field; None for an item of a list, and for the whole document."""
        mapping = self.get(*location[:-1]) if location else None
        if not isinstance(mapping, yaml.MappingNode):
            return None
        return next((key for key, _ in mapping.value if key.value == location[-1]), None)

    def list_findings(self) -> list[tuple[int, yaml.MappingNode]]:
        """Return number, from 0, and node of each finding that has fields."""
        listed = self.get("findings")
        nodes = listed.value if isinstance(listed, yaml.SequenceNode) else []
        return [
            (number, node)
            for number, node in enumerate(nodes)
            if isinstance(node, yaml.MappingNode)
        ]

    def list_prompts(self) -> Iterator[Prompt]:
        """Yield the prompts of all findings that are texts of a valid length, in their order."""
        for number, finding in self.list_findings():
            prompts = _find_child(finding, "prompts")
            for index, node in enumerate(
                prompts.value if isinstance(prompts, yaml.SequenceNode) else []
            ):
                if isinstance(node, yaml.ScalarNode) and 0 < len(node.value.strip()) <= PROMPT_MAX:
                    yield Prompt(number, index, node.value.strip(), node)

    def read_text(self, finding: int, field: str) -> str:
        """Return a field of a finding that is a text; an empty text if there is none."""
        node = self.get("findings", finding, field)
        return node.value.strip() if isinstance(node, yaml.ScalarNode) else ""

    def find_in(self, node: yaml.Node, fragment: str) -> int:
        """Return the index of a fragment of a scalar in the text; of the scalar if it is folded."""
        start = node.start_mark.index
        at = self.text.find(fragment, start, find_end(self.text, node))
        return start if at < 0 else at

    def source(self, node: yaml.Node) -> str:
        """Return a node as it is written."""
        return self.text[node.start_mark.index : find_end(self.text, node)]

    def replace(self, node: yaml.Node, written: str) -> str:
        """Return the text with a node written anew."""
        return self.text[: node.start_mark.index] + written + self.text[find_end(self.text, node) :]

    def replace_text(self, node: yaml.Node, value: str) -> str:
        """Return the text with another text in place of a node, in quotes if it needs them."""
        return self.replace(node, quote(value))

    def without(self, location: Location) -> str:
        """Return the text without a field or an item of a list."""
        parent = self.get(*location[:-1]) if location else None
        if isinstance(parent, yaml.SequenceNode):
            start = self._find_dash(parent.value[int(location[-1])])
            node: yaml.Node = parent.value[int(location[-1])]
        elif isinstance(parent, yaml.MappingNode):
            key, node = next(pair for pair in parent.value if pair[0].value == location[-1])
            start = key.start_mark.index
        else:
            return EXAMPLE
        return self.without_part(parent, node, start)

    def without_part(self, parent: yaml.CollectionNode, node: yaml.Node, start: int) -> str:
        """Return the text without the part of a list or mapping from `start` to a node's end."""
        if parent.flow_style:
            return self._without_flow(parent, node)
        begin = self.text.rfind("\n", 0, start) + 1
        end = find_end(self.text, node)
        if not self.text[begin:start].strip(" \ufeff"):
            line_end = self.text.find("\n", end)
            return self.text[:begin] + ("" if line_end < 0 else self.text[line_end + 1 :])
        later = [
            part.start_mark.index
            for part in _list_parts(parent)
            if part.start_mark.index >= end and part is not node
        ]
        return self.text[:start] + (self.text[min(later) :] if later else "{}" + self.text[end:])

    def with_field(self, mapping: yaml.MappingNode, line: str) -> str:
        """Return the text with a field added to a mapping, e.g. "views: [cine_sa]"."""
        end = find_end(self.text, mapping)
        if mapping.flow_style:
            comma = ", " if mapping.value else ""
            return f"{self.text[: end - 1]}{comma}{line}{self.text[end - 1 :]}"
        line_end = self.text.find("\n", end)
        at = len(self.text) if line_end < 0 else line_end
        return f"{self.text[:at]}\n{' ' * mapping.start_mark.column}{line}{self.text[at:]}"

    def _find_dash(self, item: yaml.Node) -> int:
        return max(0, self.text.rfind("-", 0, item.start_mark.index))

    def _without_flow(self, parent: yaml.CollectionNode, gone: yaml.Node) -> str:
        if isinstance(parent, yaml.SequenceNode):
            kept = [self.source(node) for node in parent.value if node is not gone]
            return self.replace(parent, f"[{', '.join(kept)}]")
        pairs = [(key, value) for key, value in parent.value if value is not gone]
        written = [f"{self.source(key)}: {self.source(value)}" for key, value in pairs]
        return self.replace(parent, "{" + ", ".join(written) + "}")


def find_end(text: str, node: yaml.Node) -> int:
    """Return the index behind the last character of a node.

    The mark of PyYAML for the end of a block collection is that of the next token.
    """
    while isinstance(node, yaml.CollectionNode) and not node.flow_style:
        parts = _list_parts(node)
        if not parts:
            break
        node = max(parts, key=lambda part: int(part.end_mark.index))
    end = int(node.end_mark.index)
    if isinstance(node, yaml.ScalarNode) and node.style in {"|", ">"}:
        return len(text[:end].rstrip())
    return end


def quote(value: str) -> str:
    """Return a text as a YAML scalar for a list in brackets or any other place."""
    if len(value) <= PLAIN_MAX:
        try:
            if yaml.safe_load(f"[{value}]") == [value] == yaml.safe_load(f"- {value}"):
                return value
        except (yaml.YAMLError, ValueError):
            pass
    return json.dumps(value, ensure_ascii=not value.isprintable())


def state(name: str) -> str:
    """Return a sentence that states a finding by its name."""
    is_abbreviation = name.split(" ", maxsplit=1)[0].isupper()
    return f"There is {name if is_abbreviation else name[:1].lower() + name[1:]}"


def _find_child(node: yaml.Node, part: str | int) -> yaml.Node | None:
    if isinstance(node, yaml.MappingNode):
        found = [value for key, value in node.value if key.value == str(part)]
        return found[-1] if found else None
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        child: yaml.Node = node.value[part]
        return child
    return None


def _list_parts(node: yaml.CollectionNode) -> list[yaml.Node]:
    """Return the items of a list, or keys and values of a mapping."""
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return list(node.value)
