"""The difference between two versions of a finding, in sentences.

The sentences are made from the fields of the entry, whatever they are: a new field of the findings
file needs nothing here.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from triage.domain.calibration import CalibrationPolicy
from triage.domain.finding_version import FindingVersion

#: Names of the items of a list, where the name of the list is no plural of them.
ITEMS = {"examples present": "example with it", "examples absent": "example without it"}
CODE = {"value", "scheme", "meaning"}
NONE = "none"


def describe_differences(before: FindingVersion, after: FindingVersion) -> list[str]:
    """Return what differs, one sentence each; none if nothing does."""
    found = list(_describe_contents(json.loads(before.content), json.loads(after.content)))
    if before.calibration != after.calibration:
        one, other = (each.calibration or CalibrationPolicy.BUNDLE for each in (before, after))
        found.append(f"thresholds: {one} -> {other}")
    if before.state is not after.state:
        found.append(f"state: {before.state} -> {after.state}")
    if (before.reported is None) is not (after.reported is None):
        found.append(
            "reports do not show it any more" if after.reported is None else "reports show it"
        )
    return found


def _describe_contents(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    old, new = dict(_flatten(before)), dict(_flatten(after))
    for name in dict.fromkeys((*old, *new)):
        one, other = old.get(name), new.get(name)
        if one == other:
            continue
        if isinstance(one, list) or isinstance(other, list):
            yield from _describe_lists(name, one, other)
        else:
            yield f"{name}: {_format(one)} -> {_format(other)}"


def _flatten(content: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each value with its name; a coded concept is one value."""
    for key, value in content.items():
        name = f"{prefix}{key}".replace("_", " ")
        if isinstance(value, Mapping) and not CODE.issubset(value):
            yield from _flatten(value, f"{name} ")
        else:
            yield name, value


def _describe_lists(name: str, one: Any, other: Any) -> Iterator[str]:
    before, after = _as_list(one), _as_list(other)
    item = ITEMS.get(name, name.removesuffix("s"))
    yield from (f"{item} removed: {_format(each)}" for each in before if each not in after)
    yield from (f"{item} added: {_format(each)}" for each in after if each not in before)
    if [each for each in before if each in after] != [each for each in after if each in before]:
        yield f"{name}: other order"


def _as_list(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _format(value: Any) -> str:
    if value is None or value == "":
        return NONE
    if isinstance(value, Mapping):
        return " ".join(str(part) for part in value.values())
    return str(value)
