"""What a series is called and what its attributes say, by a table that a site can extend.

Rule: the facts stand in rules.yaml, beside this file; no other module knows a name or a vendor's
value. The first line that fits decides: the site's before ours, attributes before names. To teach
the worker a name, add a line there, or to the site's own file (`series_rules`).
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

from triage.dicom.header import UNREADABLE
from triage.yaml_models import StrictModel, read

DEFAULT_RULES = Path(__file__).with_name("rules.yaml")
NAME = "name"


class SequenceType(StrEnum):
    """How a series was measured; the words of the table."""

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
        """How people say it."""
        return LABELS.get(self, self.value)


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
    """Which plane a series shows."""

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
    SEVERAL = "several"  #: a name that lists views; no plane is called so


class Variant(StrEnum):
    """What tells series of one sequence apart."""

    PSIR = "PSIR"
    MAGNITUDE = "magnitude"
    REST = "rest"
    STRESS = "stress"


Meaning = TypeVar("Meaning", SequenceType, View, Variant)


class SeriesRule(StrictModel, Generic[Meaning]):
    """One line of the table."""

    attribute: str
    pattern: str
    means: Meaning

    @field_validator("attribute")
    @classmethod
    def _known(cls, attribute: str) -> str:
        if attribute != NAME and tag_for_keyword(attribute) is None:
            raise ValueError(f"is neither `{NAME}` nor a DICOM keyword")
        return attribute

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, pattern: str) -> str:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"is no regular expression: {error}") from None
        return pattern


class SeriesRules(StrictModel):
    """The whole table, in the order in which it is asked."""

    sequences: tuple[SeriesRule[SequenceType], ...] = ()
    views: tuple[SeriesRule[View], ...] = ()
    variants: tuple[SeriesRule[Variant], ...] = ()


class RuleMatch(NamedTuple, Generic[Meaning]):
    """What a rule found, and where."""

    means: Meaning
    attribute: str

    @property
    def why(self) -> str:
        """Return the evidence in words."""
        return "by its name" if self.attribute == NAME else f"by its {self.attribute}"


@dataclass(frozen=True)
class ImageFacts:
    """What the table may ask of an image."""

    name: str
    header: Dataset | None = None  #: None: a bare name, of which nothing else is known

    def value(self, attribute: str) -> str:
        """Return what stands under an attribute; empty where nothing does."""
        if attribute == NAME:
            return normalise_name(self.name)
        return "" if self.header is None else read_text(self.header, attribute)


@cache
def load_rules(site: Path | None = None) -> SeriesRules:
    """Return the shipped table, after the lines of a site's file; raise ConfigurationError."""
    ours = read(DEFAULT_RULES, SeriesRules)
    if site is None:
        return ours
    theirs = read(site, SeriesRules)
    return SeriesRules(
        sequences=theirs.sequences + ours.sequences,
        views=theirs.views + ours.views,
        variants=theirs.variants + ours.variants,
    )


def find_match(
    rules: Iterable[SeriesRule[Meaning]], facts: ImageFacts
) -> RuleMatch[Meaning] | None:
    """Return what the first rule that fits says."""
    for rule in rules:
        value = facts.value(rule.attribute)
        if value and re.search(rule.pattern, value):
            return RuleMatch(rule.means, rule.attribute)
    return None


def series_name(header: Dataset) -> str:
    """Return the series description, or the protocol name where it is empty."""
    return next(
        (value for keyword in NAMES if (value := read_text(header, keyword, upper=False))), ""
    ).strip()


NAMES = ("SeriesDescription", "ProtocolName")


def normalise_name(name: str) -> str:
    """Return a name as small words: "FastCINE_SAX b1" as "fast cine sax b1"."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return re.sub(r"[^a-z0-9*]+", " ", apart.lower()).strip()


def read_text(header: Dataset, keyword: str, *, upper: bool = True) -> str:
    """Return the values of an element joined by backslashes; empty where it cannot be read."""
    try:
        value = header.get(keyword)
    except UNREADABLE:
        return ""
    if value is None:
        return ""
    values = [value] if isinstance(value, str) or not hasattr(value, "__iter__") else value
    joined = "\\".join(str(each) for each in values)
    return joined.upper() if upper else joined
