"""Changes of the reports if a worker loads other parts."""

from dataclasses import replace

import pytest

from triage.domain.loaded import LoadedFinding, LoadedParts, describe_changes

LV = LoadedFinding("lv_dilation", "LV dilation", 0.31)
SCAR = LoadedFinding("scar", "Scar", None, "no threshold is calibrated")
PARTS = LoadedParts("1.0", "demo 1", "d1", "f1", (LV, SCAR))
FITTED = LoadedFinding("thick", "Thick", None, by_views={"cine_sa": 0.1})
NEW = LoadedFinding("pericardial_effusion", "Pericardial effusion", None, "not calibrated")


@pytest.mark.parametrize(
    ("before", "after", "change"),
    [
        (FITTED, FITTED, None),
        (
            FITTED,
            replace(FITTED, by_views={"cine_sa": 0.2}),
            "its thresholds for some sets of views",
        ),
        (replace(FITTED, threshold=0.3), FITTED, "its thresholds for some sets of views change"),
        (FITTED, replace(FITTED, by_views={}, why_not="few"), "will become Not Evaluated: few"),
        (replace(FITTED, by_views={}), FITTED, "can be flagged, with thresholds for 1 set(s) of"),
        (None, FITTED, "thick is new, with thresholds for 1 set(s) of views"),
    ],
)
def test_thresholds_of_sets_of_views_are_compared_too(
    before: LoadedFinding | None, after: LoadedFinding, change: str | None
) -> None:
    earlier = replace(PARTS, findings=(before,) if before else ())
    found = describe_changes(earlier, replace(PARTS, findings=(after,)))
    assert [change in text for text in found if change] == ([True] if change else [])
    assert len(found) == (change is not None)


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
