"""All rules on a findings file, and the choice of a mend that was tried.

A mend is put in place and the file is checked again before it is shown: the problem must be gone,
and no other may come. In a large file, or after many mistakes, mends are shown that were not tried,
so that lint ends in time.
"""

import codecs
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from triage.domain.errors import ConfigurationError
from triage.findings.entries import FindingsFile
from triage.findings.lint import fields, keys, prompts, towers
from triage.findings.lint.document import EXAMPLE, FindingsDocument
from triage.findings.lint.model import LintModel
from triage.findings.lint.problem import (
    Code,
    Explanation,
    Found,
    Mend,
    Problem,
    Severity,
    apply_mend,
    compare,
    find_place,
)
from triage.findings.lint.syntax import read_document
from triage.yaml_models import TEXT_MAX

Rule = Callable[[FindingsDocument, LintModel], Iterator[Found]]
PROBLEMS_MAX = 100  #: of a file that are reported
#: Characters that are checked again to try mends; so many take about a second.
TRIED_MAX = 100_000
CANDIDATES_MAX = 12  #: mends of one problem that are tried
WORST = (2, 0)
BYTES_MAX = 4 * TEXT_MAX  #: of a file; a character of UTF-8 has at most four
WINDOWS = "cp1252"  #: what a file that is not UTF-8 usually is
#: The first bytes of other encodings; those of UTF-32 begin with those of UTF-16.
MARKS = (
    ("UTF-32", (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)),
    ("UTF-16", (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)),
)

#: The rules on a file that is YAML whose errors, besides those of fields, make it unusable.
ERROR_RULES: tuple[Rule, ...] = (
    keys.find_repeated,
    keys.find_curly_quotes,
    keys.find_unknown_views,
)
RULES: tuple[Rule, ...] = (
    *ERROR_RULES,
    prompts.find_negations,
    prompts.find_other_languages,
    prompts.find_two_statements,
    prompts.find_repeated_prompts,
)
#: The rules that need the vocabulary or the text tower of a trained bundle.
BUNDLE_RULES: dict[Code, Rule] = {
    Code.UNKNOWN_TERM: towers.find_unknown_terms,
    Code.NEAR_DUPLICATE: towers.find_near_duplicates,
    Code.NOT_SEPARATE: towers.find_not_separate,
}


@dataclass(frozen=True)
class LintResult:
    """The problems of a file, errors first."""

    problems: tuple[Problem, ...]
    left_out: tuple[Code, ...] = ()  #: problems that were not looked for, for lack of a bundle
    more: int = 0  #: further problems that are not listed

    @property
    def is_usable(self) -> bool:
        """Return whether the file can be used."""
        return all(problem.severity is not Severity.ERROR for problem in self.problems)


@dataclass(frozen=True)
class Structure:
    """A text as far as it is known without the rules."""

    found: list[Found]
    document: FindingsDocument | None = None  #: None if the text is no YAML
    entries: FindingsFile | None = None  #: None if a field is refused


class Trials:
    """The characters that may be checked to try mends."""

    def __init__(self) -> None:
        self._left = TRIED_MAX

    def take(self, text: str) -> bool:
        """Return whether a text may be checked, too."""
        self._left -= len(text) + 1
        return self._left >= 0


def lint_file(path: Path, model: LintModel) -> LintResult:
    """Return the problems of a file; raise ConfigurationError if it cannot be read."""
    text, problems = read_findings_text(path)
    return LintResult(tuple(problems)) if problems else lint(text, model)


def lint(text: str, model: LintModel) -> LintResult:
    """Return the problems of a findings file."""
    trials = Trials()
    found = _find_all(text, model, trials)
    left_out = [
        code
        for code in BUNDLE_RULES
        if (model.vocabulary if code is Code.UNKNOWN_TERM else model.encode) is None
    ]
    mender = _Mender(text, found, lambda new: _find_all(new, model), trials)
    problems = tuple(mender.mend(each) for each in found[:PROBLEMS_MAX])
    return LintResult(problems, tuple(left_out), max(0, len(found) - PROBLEMS_MAX))


def find_errors(text: str, views: Collection[str] | None) -> FindingsFile | list[Problem]:
    """Return the content of a text, or the errors for which it cannot be used.

    `views` are those of the bundle; None: they are not checked.
    """
    model = LintModel(tuple(views or ()))
    trials = Trials()

    def find(structure: Structure) -> list[Found]:
        found = _apply(structure, ERROR_RULES, model)
        return [each for each in found if each.severity is Severity.ERROR]

    structure = _find_structure(text, trials)
    found = find(structure)
    if not found and structure.entries is not None:
        return structure.entries
    mender = _Mender(text, found, lambda new: find(_find_structure(new, None)), trials)
    return [mender.mend(each) for each in found[:PROBLEMS_MAX]]


def read_findings_text(path: Path) -> tuple[str, list[Problem]]:
    """Return the text of a file, and why it is none; raise ConfigurationError if it is not read."""
    try:
        with path.open("rb") as file:
            data = file.read(BYTES_MAX + 1)
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}") from None
    if len(data) > BYTES_MAX:  # cut, perhaps within a letter: reported as too long
        return data.decode("utf-8", errors="replace"), []
    return decode(data)


def decode(data: bytes) -> tuple[str, list[Problem]]:
    """Return the text of the bytes of a file, and the problem if they are not UTF-8."""
    try:
        return data.decode("utf-8"), []
    except UnicodeDecodeError as error:
        start = error.start
    kind = next((name for name, marks in MARKS if data.startswith(marks)), None)
    meant = data.decode(kind, errors="ignore") if kind else _decode_lines(data)
    shown = data.decode("utf-8", errors="replace")
    line, column = find_place(shown, len(data[:start].decode("utf-8")))
    sentence = f"the file is not UTF-8 but {kind or 'another encoding'}, so it cannot be read"
    expected = "a file that was saved as UTF-8"
    mend = compare(shown, meant)
    found = Problem(Code.ENCODING, Severity.ERROR, line, column, 1, sentence, expected, mend)
    return shown, [found]


def _decode_lines(data: bytes) -> str:
    """Return a text whose lines that are not UTF-8 are read as Windows writes them."""
    lines = []
    for line in data.splitlines(keepends=True):
        try:
            lines.append(line.decode("utf-8"))
        except UnicodeDecodeError:
            lines.append(line.decode(WINDOWS, errors="ignore"))
    return "".join(lines)


def _find_all(text: str, model: LintModel, trials: Trials | None = None) -> list[Found]:
    """Return all problems: those of the syntax alone, or else errors and warnings."""
    structure = _find_structure(text, trials)
    return _apply(structure, (*RULES, *BUNDLE_RULES.values()), model)


def _apply(structure: Structure, rules: Sequence[Rule], model: LintModel) -> list[Found]:
    """Return the problems of a structure with those that rules find, if it is a document."""
    found = list(structure.found)
    if structure.document is not None:
        for rule in rules:
            found += rule(structure.document, model)
    return _unite(found)


def _unite(found: Sequence[Found]) -> list[Found]:
    """Return one problem for each place, that of the first rule, in the order of the file.

    Several missing fields of a finding are at one place.
    """
    by_place: dict[tuple[int, str], Found] = {}
    for each in found:
        missing = each.explanation.sentence if each.code is Code.MISSING_FIELD else ""
        by_place.setdefault((each.index, missing), each)
    return sorted(by_place.values(), key=lambda each: (each.severity, each.index))


def _find_structure(text: str, trials: Trials | None) -> Structure:
    """Return the problems of syntax and fields, document and entries.

    Without `trials` no mistake is looked for that explains why a text is no YAML.
    """
    badness = None if trials is None else lambda new: _measure_badness(new, trials)
    document = read_document(text, badness)
    if isinstance(document, Found):
        return Structure([document])
    if document is None:
        return Structure([_report_empty()])
    refused = fields.find_refused_fields(document)
    if isinstance(refused, FindingsFile):
        return Structure([], document, refused)
    return Structure(refused, document)


def _measure_badness(text: str, trials: Trials) -> tuple[int, int]:
    """Return how far a text is from a usable file: lines that are no YAML, then errors."""
    if not trials.take(text):
        return WORST
    found = _find_structure(text, None).found
    if any(each.code in {Code.NOT_YAML, Code.TOO_LONG} for each in found):
        return 1, text.count("\n", found[0].index)
    return 0, len(found)


class _Mender:
    """Chooses the mends of a file."""

    def __init__(
        self,
        text: str,
        found: Sequence[Found],
        check: Callable[[str], Sequence[Found]],
        trials: Trials,
    ) -> None:
        self._text, self._found, self._check, self._trials = text, found, check, trials
        self._codes = {each.code for each in found}

    def mend(self, found: Found) -> Problem:
        """Return a problem with the first of its mends that leaves the file better."""
        mend, is_tried = self._choose(found)
        line, column = find_place(self._text, found.index)
        return Problem(
            found.code,
            found.severity,
            line,
            column,
            found.length,
            found.explanation.sentence,
            found.explanation.expected,
            mend,
            is_tried,
        )

    def _choose(self, found: Found) -> tuple[Mend, bool]:
        """Return a mend, and whether it was tried with success."""
        candidates = islice(
            (new for new in found.candidates() if new != self._text), CANDIDATES_MAX
        )
        first: Mend | None = None
        for new in candidates:
            mend = compare(self._text, new)
            first = first or mend
            if found.is_tried or not self._trials.take(new):
                break
            if self._is_better(found, mend, self._check(new)):
                return mend, True
        return first or compare(self._text, EXAMPLE), found.is_tried

    def _is_better(self, found: Found, mend: Mend, after: Sequence[Found]) -> bool:
        """Return whether a problem is gone, and none has come where the text was changed.

        A mended error may uncover problems elsewhere; a mended warning may not.
        """
        new = apply_mend(self._text, mend)
        is_less = len(after) < len(self._found)
        if found.severity is Severity.WARNING and not is_less:
            return False
        here = range(mend.first, mend.first + len(mend.lines))
        come = {
            each.code
            for each in after
            if each.severity <= found.severity and find_place(new, each.index)[0] in here
        }
        return found.code not in come and come <= self._codes


def _report_empty() -> Found:
    return Found(
        Explanation(
            Code.NO_FINDING,
            "the file is empty",
            "at least one finding, or no `findings` in the settings",
        ),
        Severity.ERROR,
        0,
        1,
        lambda: iter([EXAMPLE]),
    )
