"""The content of a version of a finding: an entry of the findings file as JSON text, and back.

Fields that have their default are left out, and keys are sorted. So equal entries have equal
contents, also after a release that knows more fields.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

import yaml
from pydantic import ValidationError

from triage.domain.errors import ConfigurationError
from triage.domain.finding import FindingSet
from triage.domain.finding_version import FindingVersion
from triage.findings.entries import FindingEntry
from triage.findings.loader import digest_entries

LINE = 100  #: characters of a line of a written file


def write_content(entry: FindingEntry) -> str:
    """Return an entry as the content of a version."""
    return json.dumps(entry.model_dump(mode="json", exclude_defaults=True), sort_keys=True)


def read_content(version: FindingVersion) -> FindingEntry:
    """Return the entry of a version.

    Raises:
        ConfigurationError: another release has written a field that this one does not know.
    """
    try:
        return FindingEntry.model_validate_json(version.content)
    except ValidationError as error:
        where = ", ".join(".".join(map(str, problem["loc"])) for problem in error.errors())
        raise ConfigurationError(
            f"finding {version.finding}, version {version.number}: another release has written it, "
            f"and this one cannot read {where}"
        ) from None


def build_finding_set(versions: Sequence[FindingVersion]) -> FindingSet:
    """Return the findings of some versions; each names its version.

    The digest is that of a file with the same entries. Raises ConfigurationError.
    """
    entries = [read_content(version) for version in versions]
    findings = (
        replace(entry.to_finding(), version=version.number)
        for entry, version in zip(entries, versions, strict=True)
    )
    calibrations = {
        version.finding: checked
        for version in versions
        if (checked := version.check_calibration()) is not None
    }
    return FindingSet(tuple(findings), digest_entries(entries), calibrations)


def write_findings_file(versions: Sequence[FindingVersion], heads: Mapping[str, str]) -> str:
    """Return the text of a findings file with these versions.

    `heads` has a comment for each finding id, without line breaks.
    """
    parts = ["findings:\n"]
    for version in versions:
        entry = read_content(version).model_dump(mode="json", exclude_defaults=True)
        item = yaml.safe_dump([entry], sort_keys=False, allow_unicode=True, width=LINE)
        parts += [f"  # {heads[version.finding]}\n", *(f"  {line}\n" for line in item.splitlines())]
    return "".join(parts)
