from dataclasses import replace
from pathlib import Path

import pytest

from triage.domain.errors import ConfigurationError
from triage.findings.loader import load_findings, parse_findings

DEFAULT = Path("triage/findings/default.yaml")
ONE = """findings:
  - id: lv_dilation
    name: LV dilation
    prompts: [Left ventricle is dilated]
    views: [cine_sa]
"""


def error_message(text: str) -> str:
    with pytest.raises(ConfigurationError) as error:
        parse_findings(text, "f.yaml")
    return str(error.value)


def test_the_default_file_has_the_published_seven_and_their_prompts() -> None:
    findings = load_findings(DEFAULT).findings
    assert [finding.id for finding in findings] == [
        "lv_dysfunction",
        "rv_dysfunction",
        "lv_dilation",
        "rv_dilation",
        "lv_hypertrophy",
        "lge",
        "aortic_dilation",
    ]
    assert [len(finding.prompts) for finding in findings] == [1, 1, 2, 2, 3, 3, 3]


def test_the_demo_uses_the_published_prompts_except_for_late_enhancement() -> None:
    published = load_findings(DEFAULT).findings
    drawn = load_findings(DEFAULT.with_name("drawn_hearts.yaml")).findings
    for ours, theirs in zip(drawn, published, strict=True):
        assert replace(ours, prompts=theirs.prompts) == theirs
        same = {*ours.prompts} & {*theirs.prompts}
        assert same == (set() if ours.id == "lge" else {*theirs.prompts})


def test_every_default_code_is_verified() -> None:
    for finding in load_findings(DEFAULT).findings:
        assert (finding.code is None) == (finding.verified_by == "")


def test_the_digest_depends_on_the_content_not_the_format() -> None:
    same = ONE.replace("[Left ventricle is dilated]", "\n      - Left ventricle is dilated")
    other = ONE.replace("is dilated", "is enlarged")
    digest = parse_findings(ONE, "f").digest
    assert parse_findings("# remark\n" + same, "f").digest == digest
    assert parse_findings(other, "f").digest != digest


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            ("id: lv_dilation", "id: LV Dilation"),
            "f.yaml, line 2, column 9: `LV Dilation` is no id",
        ),
        (("prompts:", "promts:"), "f.yaml, line 4, column 5: `promts` is no known field"),
        (("[Left ventricle is dilated]", "[]"), "f.yaml, line 4, column 14: a finding needs"),
        (("[Left ventricle is dilated]", "[ab]"), "f.yaml, line 4, column 15: `prompts` has 2"),
        (("[Left ventricle is dilated]", "[Big LV, Big LV]"), "f.yaml, line 4, column 23: this"),
        (("views: [cine_sa]", "threshold: 0.5"), "f.yaml, line 5, column 5: `threshold`"),
        (("views:", "code: {value: '1', scheme: SCT, meaning: m}\n    views:"), "verified_by"),
    ],
)
def test_an_error_names_its_line(change: tuple[str, str], message: str) -> None:
    assert message in error_message(ONE.replace(*change))


def test_two_findings_with_one_id_are_an_error() -> None:
    assert "lv_dilation" in error_message(ONE + ONE.split("\n", 1)[1])


def test_an_empty_file_is_an_error() -> None:
    assert "the file has no finding" in error_message("findings: []")


def test_a_missing_file_is_named() -> None:
    with pytest.raises(ConfigurationError, match="cannot read nowhere.yaml"):
        load_findings(Path("nowhere.yaml"))
