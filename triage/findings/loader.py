"""Read a findings file: what a hospital asks of every study, by prompts or by examples.

A file that loads can be run; all errors of a file are reported together, each with its line. The
file has no thresholds, because they belong to the calibration of one bundle: another model gives
other scores to the same prompts. README.md describes the fields for the people that write them.
"""

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from triage.domain.finding import Examples, Finding, FindingCode, FindingSet
from triage.yaml_models import StrictModel, parse, read_text

#: PS3.5 6.2: LO has at most 64 characters, SH 16.
Meaning = Annotated[str, StringConstraints(min_length=1, max_length=64, strip_whitespace=True)]
Short = Annotated[str, StringConstraints(min_length=1, max_length=16, strip_whitespace=True)]
#: PS3.5 6.2, VR UI.
Uid = Annotated[str, StringConstraints(pattern=r"^[0-9.]{1,64}$")]
MOST_EXAMPLES = 32  #: with, and without the finding; the paper's few-shot curves end there
Prompt = Annotated[str, StringConstraints(min_length=3, max_length=500, strip_whitespace=True)]


def _check_identifier(value: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,31}", value):
        raise ValueError(
            "an id has at most 32 lower-case letters, digits and underscores, a letter first"
        )
    return value


class CodeEntry(StrictModel):
    """A coded concept, for example `{value: "87878005", scheme: SCT, meaning: Left ventricle}`."""

    value: Short
    scheme: Short
    meaning: Meaning

    def to_code(self) -> FindingCode:
        """Return the code of the domain."""
        return FindingCode(self.value, self.scheme, self.meaning)


class ExamplesEntry(StrictModel):
    """Past studies with the finding, and past studies without it."""

    #: Study Instance UIDs of studies with the finding, and of studies without it
    present: Annotated[tuple[Uid, ...], Field(min_length=1, max_length=MOST_EXAMPLES)]
    absent: Annotated[tuple[Uid, ...], Field(max_length=MOST_EXAMPLES)] = ()

    @model_validator(mode="after")
    def _check_distinct(self) -> Self:
        named = (*self.present, *self.absent)
        if twice := sorted({uid for uid in named if named.count(uid) > 1}):
            raise ValueError(f"these studies are listed twice: {', '.join(twice)}")
        return self


class FindingEntry(StrictModel):
    """One finding of the file."""

    id: Annotated[str, AfterValidator(_check_identifier)]  #: stable identifier
    name: Meaning  #: as reports and pages show it
    prompts: tuple[Prompt, ...] = ()  #: report sentences that describe the finding
    examples: ExamplesEntry | Literal["confirmed"] | None = None
    views: tuple[str, ...]  #: at least one of them is needed to evaluate the finding
    code: CodeEntry | None = None  #: standard code of the finding
    verified_by: str = ""  #: the person or source that confirmed `code`
    site: CodeEntry | None = None  #: standard code of the anatomical site

    @model_validator(mode="after")
    def _check_fields(self) -> Self:
        if self.code is not None and not self.verified_by.strip():
            raise ValueError("a code needs `verified_by`: the person or source that confirmed it")
        if not self.views or not (self.prompts or self.examples):
            raise ValueError("a finding needs at least one view, and a prompt or examples")
        if self.prompts and self.examples == "confirmed":
            raise ValueError("`examples: confirmed` cannot be combined with prompts")
        if len(set(self.prompts)) != len(self.prompts):
            raise ValueError("a prompt is listed twice; it would count twice")
        return self

    def to_finding(self) -> Finding:
        """Return the finding of the domain."""
        return Finding(
            id=self.id,
            name=self.name,
            prompts=self.prompts,
            views=self.views,
            code=self.code.to_code() if self.code else None,
            verified_by=self.verified_by,
            site=self.site.to_code() if self.site else None,
            examples=_to_examples(self.examples),
        )


def _to_examples(entry: ExamplesEntry | Literal["confirmed"] | None) -> Examples | None:
    if entry is None:
        return None
    if entry == "confirmed":
        return Examples(confirmed=True)
    return Examples(entry.present, entry.absent)


class FindingsFile(StrictModel):
    """The whole file."""

    findings: tuple[FindingEntry, ...]

    @model_validator(mode="after")
    def _check_distinct(self) -> Self:
        if not self.findings:
            raise ValueError(
                "the file has no finding; add one, or remove `findings` from the settings"
            )
        ids = [entry.id for entry in self.findings]
        twice = sorted({id_ for id_ in ids if ids.count(id_) > 1})
        if twice:
            raise ValueError(f"these ids are used twice: {', '.join(twice)}")
        return self


def load_findings(path: Path) -> FindingSet:
    """Return the findings of the file at `path`.

    Raises:
        ConfigurationError: The file is missing or invalid; the message has the line numbers.
    """
    return parse_findings(read_text(path), str(path))


def load_entries(path: Path) -> tuple[FindingEntry, ...]:
    """Return the entries of the file at `path`; raise ConfigurationError."""
    return parse(read_text(path), FindingsFile, str(path)).findings


def parse_findings(text: str, name: str) -> FindingSet:
    """Return the findings of a YAML text; error messages use `name` for it."""
    entries = parse(text, FindingsFile, name).findings
    return FindingSet(tuple(entry.to_finding() for entry in entries), digest_entries(entries))


def digest_entries(entries: Sequence[FindingEntry]) -> str:
    """Return the digest of findings in this order: SHA-256 in hexadecimal."""
    content = [entry.model_dump(mode="json") for entry in entries]
    for entry in content:  # keeps the digest of files older than `examples`
        if entry["examples"] is None:
            del entry["examples"]
    canonical = json.dumps({"findings": content}, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()
