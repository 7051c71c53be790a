"""Changes of the reports if a worker loads other parts."""

from dataclasses import replace

import pytest

from triage.domain.loaded import LoadedFinding, LoadedParts, describe_changes

LV = LoadedFinding("lv_dilation", "LV dilation", 0.31)
SCAR = LoadedFinding("scar", "Scar", None, "no threshold is calibrated")
PARTS = LoadedParts("1.0", "demo 1", "d1", "f1", (LV, SCAR))
NEW = LoadedFinding("pericardial_effusion", "Pericardial effusion", None, "not calibrated")


def changed(*findings: LoadedFinding) -> LoadedParts:
    return replace(PARTS, findings=findings, findings_digest="f2")


@pytest.mark.parametrize(
    ("after", "changes"),
    [
        (PARTS, []),
        (
            changed(replace(LV, threshold=None, why_not="other prompts"), SCAR),
            ["LV dilation will become Not Evaluated: other prompts"],
        ),
        (
            changed(LV, SCAR, NEW),
            ["pericardial_effusion is new and has no threshold: it will be Not Evaluated"],
        ),
        (
            changed(LV, SCAR, replace(NEW, threshold=0.5)),
            ["pericardial_effusion is new, with the threshold 0.5"],
        ),
        (changed(LV), ["Scar will not be answered any more"]),
        (changed(replace(LV, threshold=0.4), SCAR), ["LV dilation: threshold 0.31 becomes 0.4"]),
        (
            changed(LV, replace(SCAR, threshold=0.2)),
            ["Scar can be flagged, with the threshold 0.2"],
        ),
        (
            changed(LV, SCAR),
            ["the findings have the same thresholds, but other texts, codes or views"],
        ),
        (
            replace(PARTS, version="1.1", bundle="demo 2", bundle_digest="d2"),
            ["release 1.0 becomes 1.1", "bundle demo 1 becomes demo 2"],
        ),
    ],
)
def test_every_change_is_a_sentence(after: LoadedParts, changes: list[str]) -> None:
    assert describe_changes(PARTS, after) == changes
