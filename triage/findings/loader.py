"""Read a findings file: what the hospital asks, in plain words.

Rule: a file that loads can be run. Everything wrong with it is said at once, each with its line.
Thresholds have no place here: they belong to the calibration of one bundle, because another
model gives other scores to the same words.
"""

import hashlib
import json
import re
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, StringConstraints, model_validator

from triage.documents import Strict, parse, read_text
from triage.domain.finding import Code, Finding, FindingSet

#: PS3.5 6.2: LO holds 64 characters, SH 16.
Meaning = Annotated[str, StringConstraints(min_length=1, max_length=64, strip_whitespace=True)]
Short = Annotated[str, StringConstraints(min_length=1, max_length=16, strip_whitespace=True)]
Prompt = Annotated[str, StringConstraints(min_length=3, max_length=500, strip_whitespace=True)]


def _identifier(value: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,31}", value):
        raise ValueError("an id has lower-case letters, digits and underscores, at most 32")
    return value


class CodeEntry(Strict):
    """A coded concept, as in `{value: "87878005", scheme: SCT, meaning: Left ventricle}`."""

    value: Short
    scheme: Short
    meaning: Meaning

    def code(self) -> Code:
        """Return the domain's value."""
        return Code(self.value, self.scheme, self.meaning)


class FindingEntry(Strict):
    """One finding of the file."""

    id: Annotated[str, AfterValidator(_identifier)]
    name: Meaning
    prompts: tuple[Prompt, ...]
    views: tuple[str, ...]
    code: CodeEntry | None = None
    verified_by: str = ""
    site: CodeEntry | None = None

    @model_validator(mode="after")
    def _honest(self) -> Self:
        if self.code is not None and not self.verified_by.strip():
            raise ValueError("a code needs `verified_by`: who looked it up, and where")
        if not self.prompts or not self.views:
            raise ValueError("a finding needs at least one prompt and one view")
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
        )


class FindingsFile(Strict):
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
    content = json.dumps(entries.model_dump(mode="json"), sort_keys=True, ensure_ascii=True)
    digest = hashlib.sha256(content.encode()).hexdigest()
    return FindingSet(tuple(entry.finding() for entry in entries.findings), digest)
