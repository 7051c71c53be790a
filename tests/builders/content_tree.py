"""Read the content tree of a Structured Report."""

from collections.abc import Iterator
from typing import Any

from pydicom import Dataset
from pydicom.sr.coding import Code as Concept

from triage.reports import codes


def below(item: Dataset) -> Iterator[Dataset]:
    for child in item.get("ContentSequence", []):
        yield child
        yield from below(child)


def named(item: Dataset, name: Concept) -> list[Dataset]:
    named_items = (i for i in below(item) if "ConceptNameCodeSequence" in i)
    return [i for i in named_items if i.ConceptNameCodeSequence[0].CodeValue == name.value]


def values(item: Dataset, name: Concept) -> list[Any]:
    return [value_of(child) for child in named(item, name)]


def value_of(item: Dataset) -> Any:
    if item.ValueType == "CODE":
        return item.ConceptCodeSequence[0].CodeMeaning
    if item.ValueType == "NUM":
        return item.MeasuredValueSequence[0].FloatingPointValue
    return item.TextValue if item.ValueType == "TEXT" else item.UID


def groups(report: Dataset) -> list[Dataset]:
    return named(report, codes.GROUP)
