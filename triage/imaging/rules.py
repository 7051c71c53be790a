"""The sequence, view and variant that a series name or an attribute states, from a table.

The table is rules.yaml beside this module; no other module knows a series name or a vendor's
value. The first rule that matches applies: rules of the site come before the shipped ones, and
rules on attributes before rules on names. To support another name, add a rule there, or in the
site's own file (setting `series_rules`).
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

from pydantic import field_validator
from pydicom import Dataset
from pydicom.datadict import tag_for_keyword

from triage.dicom.unreadable import UNREADABLE
from triage.imaging.backtracking import find_slow_text
from triage.imaging.names import normalise_name
from triage.yaml_models import StrictModel, read

DEFAULT_RULES = Path(__file__).with_name("rules.yaml")
#: The `attribute` of a rule that reads the series name instead of a DICOM element.
NAME = "name"
#: The elements that name a series; the first one that is not empty is used.
NAME_KEYWORDS = ("SeriesDescription", "ProtocolName")
LONGEST_VALUE = 256  #: characters of an attribute's values that a pattern is searched in


class SequenceType(StrEnum):
    """How a series was acquired; the values are those of the table."""

    CINE = "cine"
    LGE = "lge"
    PERFUSION = "perfusion"
    T1_MAP = "t1map"
    T2_MAP = "t2map"
    T2_STAR_MAP = "t2starmap"
    T2W = "t2w_darkblood"
    FLOW = "flow_pc"
    FLOW_4D = "4dflow"
    TI_SCOUT = "ti_scout"
    LOCALIZER = "localizer"
    TAGGING = "tagging"
    ANGIOGRAPHY = "angio"
    DERIVED = "derived"

    @property
    def label(self) -> str:
        """Return the name that people read."""
        return LABELS.get(self, self.value)


#: Names for people, where they differ from the values of the table.
LABELS = {
    SequenceType.LGE: "delayed enhancement",
    SequenceType.T1_MAP: "T1 map",
    SequenceType.T2_MAP: "T2 map",
    SequenceType.T2_STAR_MAP: "T2* map",
    SequenceType.T2W: "T2-weighted or black blood",
    SequenceType.FLOW: "flow",
    SequenceType.FLOW_4D: "4D flow",
    SequenceType.TI_SCOUT: "TI scout",
    SequenceType.ANGIOGRAPHY: "angiography",
    SequenceType.DERIVED: "derived from other images",
}


class View(StrEnum):
    """The plane that a series shows."""

    SAX = "SAX"
    TWO_CHAMBER = "2CH"
    THREE_CHAMBER = "3CH"
    FOUR_CHAMBER = "4CH"
    RV_TWO_CHAMBER = "RV2CH"
    RV_THREE_CHAMBER = "RV3CH"
    RVOT = "RVOT"
    AORTA = "AORTA"
    PULMONARY_ARTERY = "PA"
    AXIAL = "AX"
    CORONAL = "COR"
    SAGITTAL = "SAG"
    SEVERAL = "several"  #: the name lists several views; no plane has this value


class Variant(StrEnum):
    """A property that distinguishes series of the same sequence."""

    PSIR = "PSIR"
    MAGNITUDE = "magnitude"
    REST = "rest"
    STRESS = "stress"


Meaning = TypeVar("Meaning", SequenceType, View, Variant)


class SeriesRule(StrictModel, Generic[Meaning]):
    """One rule of the table."""

    attribute: str  #: a DICOM keyword, or `name`
    pattern: str  #: a regular expression, searched in the value
    means: Meaning

    @field_validator("attribute")
    @classmethod
    def _check_attribute(cls, attribute: str) -> str:
        if attribute != NAME and tag_for_keyword(attribute) is None:
            raise ValueError(f"is neither `{NAME}` nor a DICOM keyword")
        return attribute

    @field_validator("pattern")
    @classmethod
    def _check_pattern(cls, pattern: str) -> str:
        try:
            compiled = re.compile(pattern)
        except re.error as error:
            raise ValueError(f"is not a regular expression: {error}") from None
        if (text := find_slow_text(compiled, LONGEST_VALUE)) is not None:
            raise ValueError(
                f"`{pattern}` takes too long on some values, such as {text!r}: "
                "write it so that each repeat can match a text in one way only"
            )
        return pattern


class SeriesRules(StrictModel):
    """The whole table, in the order in which the rules are tried."""

    sequences: tuple[SeriesRule[SequenceType], ...] = ()
    views: tuple[SeriesRule[View], ...] = ()
    variants: tuple[SeriesRule[Variant], ...] = ()


class RuleMatch(NamedTuple, Generic[Meaning]):
    """The meaning that a rule gives, and the attribute that matched."""

    means: Meaning
    attribute: str

    @property
    def why(self) -> str:
        """Return the evidence as text."""
        return "by its name" if self.attribute == NAME else f"by its {self.attribute}"


@dataclass(frozen=True)
class ImageFacts:
    """The name and header of an image, as rules read them."""

    name: str
    header: Dataset | None = None  #: None if only the name is known

    def value(self, attribute: str) -> str:
        """Return the value of an attribute; empty if there is none."""
        if attribute == NAME:
            return normalise_name(self.name)
        return "" if self.header is None else read_text(self.header, attribute)[:LONGEST_VALUE]


@cache
def load_rules(site: Path | None = None) -> SeriesRules:
    """Return the rules of a site's file, if any, followed by the shipped ones.

    Raises:
        ConfigurationError: The site's file cannot be read or has invalid rules.
    """
    shipped = read(DEFAULT_RULES, SeriesRules)
    if site is None:
        return shipped
    own = read(site, SeriesRules)
    return SeriesRules(
        sequences=own.sequences + shipped.sequences,
        views=own.views + shipped.views,
        variants=own.variants + shipped.variants,
    )


def find_match(
    rules: Iterable[SeriesRule[Meaning]], facts: ImageFacts
) -> RuleMatch[Meaning] | None:
    """Return the match of the first rule that matches, or None."""
    for rule in rules:
        value = facts.value(rule.attribute)
        if value and re.search(rule.pattern, value):
            return RuleMatch(rule.means, rule.attribute)
    return None


def series_name(header: Dataset) -> str:
    """Return the series description, or the protocol name if that is empty."""
    return next(
        (value for keyword in NAME_KEYWORDS if (value := read_text(header, keyword, upper=False))),
        "",
    ).strip()


def read_text(header: Dataset, keyword: str, *, upper: bool = True) -> str:
    """Return the values of an element joined by backslashes; empty if missing or unreadable."""
    try:
        value = header.get(keyword)
    except UNREADABLE:
        return ""
    if value is None:
        return ""
    values = [value] if isinstance(value, str) or not hasattr(value, "__iter__") else value
    joined = "\\".join(str(item) for item in values)
    return joined.upper() if upper else joined
