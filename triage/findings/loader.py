"""Read a findings file: what a hospital asks of every study, by prompts or by examples.

A file that loads can be run; all errors of a file are reported together, each with line, column and
mend, as `lint` finds them. The file has no thresholds, because they belong to the calibration of
one bundle: another model gives other scores to the same prompts.
"""

import hashlib
import json
from collections.abc import Collection, Sequence
from pathlib import Path

from triage.domain.errors import ConfigurationError
from triage.domain.finding import FindingSet
from triage.findings.entries import FindingEntry, FindingsFile
from triage.findings.lint.checks import find_errors, read_findings_text
from triage.findings.lint.problem import Problem

Entries = tuple[FindingEntry, ...]


def load_findings(path: Path, views: Collection[str] | None = None) -> FindingSet:
    """Return the findings of the file at `path`.

    `views` are those of the bundle; None: they are not checked.

    Raises:
        ConfigurationError: The file is missing or invalid; the message has lines and columns.
    """
    return parse_findings(_read(path), str(path), views)


def load_entries(path: Path, views: Collection[str] | None = None) -> Entries:
    """Return the entries of the file at `path`; as `load_findings`."""
    return _parse_entries(_read(path), str(path), views)


def parse_findings(text: str, name: str, views: Collection[str] | None = None) -> FindingSet:
    """Return the findings of a YAML text; error messages use `name` for it."""
    entries = _parse_entries(text, name, views)
    return FindingSet(tuple(entry.to_finding() for entry in entries), digest_entries(entries))


def digest_entries(entries: Sequence[FindingEntry]) -> str:
    """Return the digest of findings in this order: SHA-256 in hexadecimal."""
    content = [entry.model_dump(mode="json") for entry in entries]
    for entry in content:  # keeps the digest of files older than `examples`
        if entry["examples"] is None:
            del entry["examples"]
    canonical = json.dumps({"findings": content}, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _read(path: Path) -> str:
    text, problems = read_findings_text(path)
    if problems:
        raise _refuse(problems, str(path))
    return text


def _parse_entries(text: str, name: str, views: Collection[str] | None) -> Entries:
    found = find_errors(text, views)
    if not isinstance(found, FindingsFile):
        raise _refuse(found, name)
    return found.findings


def _refuse(problems: Sequence[Problem], name: str) -> ConfigurationError:
    return ConfigurationError("\n".join(problem.describe(name) for problem in problems))
