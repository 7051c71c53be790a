"""Readers of synthetic studies: their habits and phrases, one YAML file each beside this module.

Every reader phrases findings differently. The phrases of the EXTERNAL readers are used by no other
reader, so that a model can be tested on phrases that it was not trained on.

    layout             how sentences are arranged
    mentions_normal    how often a negative finding is mentioned, 0 to 1
    mentions_optional  how often an optional topic is mentioned, 0 to 1
    abnormal_first     whether positive findings come first
    adverbs            the grades mild, moderate and severe, as in "mildly dilated"
    adjectives         the same grades, as in "mild dilation"
    phrases            sentences by topic: `+` if the finding is present, `-` if it is not

One of the phrases of a topic is drawn. {adv} and {adj} are the grade, {where} the segments; the
other fields are measurements and properties of the finding.

Vocabulary: prompts published with CMR-CLIP.
"""

import string
from collections.abc import Iterator, Mapping
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from triage.yaml_models import StrictModel, read

#: Fields that a phrase may contain.
GRADES = ("adv", "adj")
MEASUREMENTS = ("edv", "edvi", "ef", "rvedv", "rvedvi", "rvef", "wall", "root", "asc", "desc")
PROPERTIES = ("where", "depth", "extent", "artery", "vessel", "motion")


class ReaderStyle(StrEnum):
    """The readers; the order and the values determine what is drawn for a seed."""

    PUBLISHED = "published"
    NUMBERED = "numbered"
    NARRATIVE = "narrative"
    MEASURED = "measured"
    STRUCTURED = "structured"
    ACADEMIC = "academic"
    TELEGRAPHIC = "telegraphic"
    EXTERNAL_LETTER = "external letter"
    EXTERNAL_LIST = "external list"


EXTERNAL = (ReaderStyle.EXTERNAL_LETTER, ReaderStyle.EXTERNAL_LIST)
TRAINING = tuple(style for style in ReaderStyle if style not in EXTERNAL)


class Layout(StrEnum):
    """How the sentences of an impression are arranged."""

    PROSE = "prose"
    NUMBERS = "numbers"
    DASHES = "dashes"
    LINES = "lines"


class Reader(StrictModel):
    """The habits and phrases of a reader; the module describes the fields."""

    layout: Layout
    mentions_normal: float = Field(ge=0, le=1)
    mentions_optional: float = Field(ge=0, le=1)
    abnormal_first: bool
    adverbs: tuple[str, str, str]
    adjectives: tuple[str, str, str]
    phrases: Mapping[str, tuple[str, ...]]

    @model_validator(mode="after")
    def _check_phrases(self) -> Self:
        known = {*GRADES, *MEASUREMENTS, *PROPERTIES}
        for topic, phrases in self.phrases.items():
            if topic[-1:] not in {"+", "-"} or not phrases:
                raise ValueError(f"topic {topic} needs + or - at its end, and a phrase")
            if unknown := {name for text in phrases for name in _fields(text)} - known:
                raise ValueError(f"topic {topic} has unknown fields: {', '.join(sorted(unknown))}")
        return self


def _fields(phrase: str) -> Iterator[str]:
    return (name for _, name, _, _ in string.Formatter().parse(phrase) if name is not None)


@cache
def load_reader(style: ReaderStyle) -> Reader:
    """Return a reader, validated; raise ConfigurationError if its file is invalid."""
    return read(Path(__file__).with_name(f"{style.replace(' ', '_')}.yaml"), Reader)


def list_templates() -> frozenset[str]:
    """Return every phrase of every reader."""
    return frozenset(
        phrase
        for style in ReaderStyle
        for phrases in load_reader(style).phrases.values()
        for phrase in phrases
    )
