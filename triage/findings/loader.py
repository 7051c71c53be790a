"""Read a findings file: what the hospital asks, in plain words or by examples.

Rule: a file that loads can be run. Everything wrong with it is said at once, each with its line.
Thresholds have no place here: they belong to the calibration of one bundle, because another
model gives other scores to the same words.
"""

import hashlib
import json
import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from triage.domain.finding import Examples, Finding, FindingCode, FindingSet
from triage.yaml_models import StrictModel, parse, read_text

#: PS3.5 6.2: LO holds 64 characters, SH 16.
Meaning = Annotated[str, StringConstraints(min_length=1, max_length=64, strip_whitespace=True)]
Short = Annotated[str, StringConstraints(min_length=1, max_length=16, strip_whitespace=True)]
#: PS3.5 6.2, VR UI.
Uid = Annotated[str, StringConstraints(pattern=r"^[0-9.]{1,64}$")]
MOST_EXAMPLES = 32  #: of a kind; the paper's few-shot curves end there
Prompt = Annotated[str, StringConstraints(min_length=3, max_length=500, strip_whitespace=True)]


def _identifier(value: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,31}", value):
        raise ValueError("an id has lower-case letters, digits and underscores, at most 32")
    return value


class CodeEntry(StrictModel):
    """A coded concept, as in `{value: "87878005", scheme: SCT, meaning: Left ventricle}`."""

    value: Short
    scheme: Short
    meaning: Meaning

    def code(self) -> FindingCode:
        """Return the domain's value."""
        return FindingCode(self.value, self.scheme, self.meaning)


class ExamplesEntry(StrictModel):
    """Past studies that show a finding, and some that do not."""

    present: Annotated[tuple[Uid, ...], Field(min_length=1, max_length=MOST_EXAMPLES)]
    absent: Annotated[tuple[Uid, ...], Field(max_length=MOST_EXAMPLES)] = ()

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        named = (*self.present, *self.absent)
        if twice := sorted({uid for uid in named if named.count(uid) > 1}):
            raise ValueError(f"these studies stand here twice: {', '.join(twice)}")
        return self


class FindingEntry(StrictModel):
    """One finding of the file."""

    id: Annotated[str, AfterValidator(_identifier)]
    name: Meaning
    prompts: tuple[Prompt, ...] = ()
    examples: ExamplesEntry | Literal["confirmed"] | None = None
    views: tuple[str, ...]
    code: CodeEntry | None = None
    verified_by: str = ""
    site: CodeEntry | None = None

    @model_validator(mode="after")
    def _honest(self) -> Self:
        if self.code is not None and not self.verified_by.strip():
            raise ValueError("a code needs `verified_by`: who looked it up, and where")
        if not self.views or not (self.prompts or self.examples):
            raise ValueError("a finding needs at least one view, and a prompt or examples")
        if self.prompts and self.examples == "confirmed":
            raise ValueError("a finding learnt from all confirmed cases takes no prompts beside")
        if len(set(self.prompts)) != len(self.prompts):
            raise ValueError("a prompt stands here twice; it would count twice")
        return self

    def finding(self) -> Finding:
        """Return the domain's value."""
        return Finding(
            id=self.id,
            name=self.name,
            prompts=self.prompts,
            views=self.views,
            code=self.code.code() if self.code else None,
            verified_by=self.verified_by,
            site=self.site.code() if self.site else None,
            examples=_examples(self.examples),
        )


def _examples(entry: ExamplesEntry | Literal["confirmed"] | None) -> Examples | None:
    if entry is None:
        return None
    if entry == "confirmed":
        return Examples(confirmed=True)
    return Examples(entry.present, entry.absent)


class FindingsFile(StrictModel):
    """The whole file."""

    findings: tuple[FindingEntry, ...]

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        if not self.findings:
            raise ValueError("no finding is configured, so nothing would be asked")
        ids = [entry.id for entry in self.findings]
        twice = sorted({id_ for id_ in ids if ids.count(id_) > 1})
        if twice:
            raise ValueError(f"these ids stand here twice: {', '.join(twice)}")
        return self


def load_findings(path: Path) -> FindingSet:
    """Return the findings of the file at `path`; raise ConfigurationError with line numbers."""
    return parse_findings(read_text(path), str(path))


def parse_findings(text: str, name: str) -> FindingSet:
    """Return the findings of a YAML text; `name` is what errors call it."""
    entries = parse(text, FindingsFile, name)
    said = entries.model_dump(mode="json")
    for each in said["findings"]:  # files of before there were examples keep their digest
        if each["examples"] is None:
            del each["examples"]
    content = json.dumps(said, sort_keys=True, ensure_ascii=True)
    digest = hashlib.sha256(content.encode()).hexdigest()
    return FindingSet(tuple(entry.finding() for entry in entries.findings), digest)
