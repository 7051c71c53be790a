"""The entries of a findings file as models; README.md describes the fields for their writers."""

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from triage.domain.finding import Examples, Finding, FindingCode
from triage.findings.lint.document import PROMPT_MAX
from triage.findings.lint.problem import Code
from triage.yaml_models import StrictModel

#: PS3.5 6.2: LO has at most 64 characters, SH 16.
Meaning = Annotated[str, StringConstraints(min_length=1, max_length=64, strip_whitespace=True)]
Short = Annotated[str, StringConstraints(min_length=1, max_length=16, strip_whitespace=True)]
#: PS3.5 6.2, VR UI.
Uid = Annotated[str, StringConstraints(pattern=r"^[0-9.]{1,64}$")]
MOST_EXAMPLES = 32  #: with, and without the finding; the paper's few-shot curves end there
Prompt = Annotated[
    str, StringConstraints(min_length=3, max_length=PROMPT_MAX, strip_whitespace=True)
]


def _check_identifier(value: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,31}", value):
        raise _refuse(Code.ID_FORM)
    return value


def _refuse(code: Code) -> PydanticCustomError:
    """Return the error of a check; `lint` writes its sentence, which names lines."""
    return PydanticCustomError(code.value, code.value)


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
        if len(set(named)) != len(named):
            raise _refuse(Code.DOUBLE_EXAMPLE)
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
            raise _refuse(Code.CODE_WITHOUT_SOURCE)
        if not self.views:
            raise _refuse(Code.NO_VIEW)
        if not (self.prompts or self.examples):
            raise _refuse(Code.NO_PROMPT)
        if self.prompts and self.examples == "confirmed":
            raise _refuse(Code.CONFIRMED_WITH_PROMPTS)
        if len(set(self.prompts)) != len(self.prompts):
            raise _refuse(Code.DOUBLE_PROMPT)
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
            raise _refuse(Code.NO_FINDING)
        if len({entry.id for entry in self.findings}) != len(self.findings):
            raise _refuse(Code.DOUBLE_ID)
        return self
