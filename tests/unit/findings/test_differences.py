"""Differences of versions, in sentences."""

import json
from dataclasses import replace
from typing import Any

import pytest

from triage.domain.finding_version import (
    ChangeNote,
    FindingState,
    FindingVersion,
    move,
    open_version,
)
from triage.findings.differences import describe_differences

NOTE = ChangeNote("anna", 1.0, "why")
LEFT = {"value": "87878005", "scheme": "SCT", "meaning": "Left ventricle"}


def version(**content: Any) -> FindingVersion:
    return open_version("lge", json.dumps({"id": "lge", "name": "LGE", **content}), NOTE)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ({}, {}, []),
        ({}, {"name": "Scar"}, ["name: LGE -> Scar"]),
        ({"prompts": ["a"]}, {"prompts": ["a", "b"]}, ["prompt added: b"]),
        ({"prompts": ["a", "b"]}, {"prompts": ["c"]}, [
            "prompt removed: a", "prompt removed: b", "prompt added: c",
        ]),
        ({"prompts": ["a", "b"]}, {"prompts": ["b", "a"]}, ["prompts: other order"]),
        ({"views": ["lge_sa"]}, {"views": ["lge_sa", "lge_lax"]}, ["view added: lge_lax"]),
        ({}, {"code": LEFT}, ["code: none -> 87878005 SCT Left ventricle"]),
        ({"verified_by": "ben"}, {}, ["verified by: ben -> none"]),
        ({}, {"examples": {"present": ["1.2"]}}, ["example with it added: 1.2"]),
        (
            {"examples": {"present": ["1.2"], "absent": ["1.3"]}},
            {"examples": "confirmed"},
            ["example with it removed: 1.2", "example without it removed: 1.3",
             "examples: none -> confirmed"],
        ),
        # Fields that a later release may add.
        ({"priority": "high"}, {"priority": "routine"}, ["priority: high -> routine"]),
        ({}, {"contrast_prompts": ["no scar"]}, ["contrast prompt added: no scar"]),
    ],
)  # fmt: skip
def test_each_difference_is_one_sentence(
    before: dict[str, Any], after: dict[str, Any], said: list[str]
) -> None:
    assert describe_differences(version(**before), version(**after)) == said


def test_state_and_reports_are_named() -> None:
    draft = version()
    active = move(draft, FindingState.ACTIVE, NOTE)
    assert describe_differences(draft, active) == ["state: draft -> active", "reports show it"]
    assert describe_differences(active, draft) == [
        "state: active -> draft",
        "reports do not show it any more",
    ]
    silent = move(replace(draft, reported=1), FindingState.SILENT, NOTE)
    assert describe_differences(active, silent) == ["state: active -> silent"]
