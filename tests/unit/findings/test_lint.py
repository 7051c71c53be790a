from pathlib import Path

import pytest

from tests.builders.findings_files import GOOD, MISTAKES
from triage.domain.errors import ConfigurationError
from triage.findings.lint.checks import BUNDLE_RULES, decode, lint
from triage.findings.lint.languages import find_language
from triage.findings.lint.model import LintModel
from triage.findings.lint.problem import Code, Severity, apply_mend, describe_mend
from triage.findings.loader import load_findings, parse_findings

FINDINGS = Path("triage/findings")
NO_BUNDLE = LintModel()
#: Codes whose mistake is not one of a line of text, with tests of their own here or in test_towers.
ELSEWHERE = {
    Code.TOO_LONG,
    Code.ENCODING,
    Code.NOT_YAML,
    Code.NO_FINDING,
    Code.INVALID,
    *BUNDLE_RULES,
}


@pytest.mark.parametrize("name", ["default.yaml", "drawn_hearts.yaml"])
def test_the_shipped_files_are_clean(name: str) -> None:
    text = (FINDINGS / name).read_text(encoding="utf-8")
    assert lint(text, NO_BUNDLE).problems == ()


def test_the_good_file_is_clean() -> None:
    assert lint(GOOD, NO_BUNDLE).problems == ()


def test_every_code_has_a_mistake() -> None:
    assert {mistake.code for mistake in MISTAKES.values()} == {*Code} - ELSEWHERE | {
        Code.NEAR_DUPLICATE
    }


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_found_with_place_and_mend(name: str) -> None:
    mistake = MISTAKES[name]
    result = lint(mistake.text, NO_BUNDLE)
    (problem,) = result.problems
    print(problem.describe("f.yaml"))
    assert problem.code is mistake.code
    assert problem.is_tried
    assert (problem.line, problem.column) == (mistake.line, mistake.column)
    assert " / ".join(line.strip() for line in problem.mend.lines) == mistake.mended
    assert (problem.severity is Severity.WARNING) == mistake.is_warning == result.is_usable


@pytest.mark.parametrize("name", MISTAKES)
def test_the_mended_file_is_clean(name: str) -> None:
    (problem,) = lint(MISTAKES[name].text, NO_BUNDLE).problems
    assert lint(apply_mend(MISTAKES[name].text, problem.mend), NO_BUNDLE).problems == ()


@pytest.mark.parametrize("name", MISTAKES)
def test_the_loader_refuses_errors_as_lint_describes_them(name: str) -> None:
    mistake = MISTAKES[name]
    (problem,) = lint(mistake.text, NO_BUNDLE).problems
    if mistake.is_warning:
        assert parse_findings(mistake.text, "f.yaml").findings
        return
    with pytest.raises(ConfigurationError) as refused:
        parse_findings(mistake.text, "f.yaml")
    assert str(refused.value) == problem.describe("f.yaml")


def test_all_mistakes_of_a_file_are_found_together() -> None:
    text = GOOD
    names = [
        "threshold",
        "unknown view",
        "negation",
        "curly quotes around a code",
        "misspelt field",
    ]
    for name in names[:3]:
        text = text.replace(MISTAKES[name].old, MISTAKES[name].new)
    found = lint(text.replace("[lge_sa, lge_lax]", "[lge_sax]"), NO_BUNDLE).problems
    assert [each.code for each in found] == [Code.THRESHOLD, Code.NEGATION, Code.UNKNOWN_VIEW]


def test_an_unknown_view_names_all_and_is_an_error_for_a_bundle() -> None:
    views = ("cine_lax", "cine_sa", "lge_sa", "lge_lax", "lge_2ch", "lge_3ch")
    (problem,) = lint(MISTAKES["unknown view"].text, LintModel(views)).problems
    assert problem.severity is Severity.ERROR
    assert problem.expected == f"one of {', '.join(views)}"
    with pytest.raises(ConfigurationError) as refused:
        parse_findings(MISTAKES["unknown view"].text, "f.yaml", views)
    assert str(refused.value) == problem.describe("f.yaml")


def test_a_doubled_id_names_both_lines() -> None:
    (problem,) = lint(MISTAKES["id used twice"].text, NO_BUNDLE).problems
    assert "line 3 and again in line 11" in problem.sentence


def test_a_threshold_belongs_to_the_calibration() -> None:
    (problem,) = lint(MISTAKES["threshold"].text, NO_BUNDLE).problems
    assert "thresholds belong to the calibration" in problem.sentence


@pytest.mark.parametrize("text", ["", "# nothing\n", "findings: []\n", "hello\n", "{}\n"])
def test_a_file_without_findings_is_mended_with_an_example(text: str) -> None:
    (problem,) = lint(text, NO_BUNDLE).problems
    assert problem.severity is Severity.ERROR
    mended = apply_mend(text, problem.mend)
    assert lint(mended, NO_BUNDLE).problems == ()


def test_a_file_of_another_encoding_is_mended_line_by_line(tmp_path: Path) -> None:
    data = GOOD.replace("Apical thickening", "Apikale Verdickung, schräg").encode("cp1252")
    text, (problem,) = decode(data)
    assert (problem.code, problem.line, problem.column) == (Code.ENCODING, 21, 35)
    assert problem.mend.lines == ("    name: Apikale Verdickung, schräg",)
    assert lint(apply_mend(text, problem.mend), NO_BUNDLE).problems == ()
    path = tmp_path / "f.yaml"
    path.write_bytes(data)
    with pytest.raises(ConfigurationError, match="line 21, column 35: the file is not UTF-8 but"):
        load_findings(path)


def test_a_utf_16_file_is_mended_as_a_whole() -> None:
    text, (problem,) = decode(GOOD.encode("utf-16"))
    assert "UTF-16" in problem.sentence
    assert lint(apply_mend(text, problem.mend), NO_BUNDLE).problems == ()


@pytest.mark.parametrize("change", ["\ufeff", "\r\n", "\r"])
def test_what_windows_writes_is_good(change: str) -> None:
    text = change + GOOD if change == "\ufeff" else GOOD.replace("\n", change)
    assert lint(text, NO_BUNDLE).problems == ()
    assert len(parse_findings(text, "f.yaml").findings) == 3


def test_a_file_that_is_too_long_is_cut_at_a_line() -> None:
    text = GOOD + "# filler\n" * 120_000
    (problem,) = lint(text, NO_BUNDLE).problems
    assert problem.code is Code.TOO_LONG
    assert lint(apply_mend(text, problem.mend), NO_BUNDLE).problems == ()


def test_what_no_mend_explains_is_left_out() -> None:
    text = GOOD.replace("    site:", "    %%%\n    site:")
    (problem,) = lint(text, NO_BUNDLE).problems
    assert lint(apply_mend(text, problem.mend), NO_BUNDLE).problems == ()
    assert describe_mend(problem.mend)


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Left ventricle is dilated", None),
        ("Biventricular noncompaction", None),
        ("Löffler endocarditis is present", None),
        ("Der linke Ventrikel ist erweitert", "German"),
        ("Le ventricule gauche est dilaté", "French"),
        ("El ventrículo izquierdo está dilatado", "Spanish"),
        ("Il ventricolo sinistro è dilatato", "Italian"),
        ("O ventrículo esquerdo está dilatado com cicatriz na parede", "Portuguese"),
        ("Het hart is verwijd met een litteken", "Dutch"),
        ("左心室扩大", "another language"),
        ("Левый желудочек расширен", "another language"),
        ("Cicatrización miocárdica", "another language"),
    ],
)
def test_the_language_of_a_prompt(text: str, language: str | None) -> None:
    assert find_language(text) == language


@pytest.mark.parametrize(
    ("text", "mended"),
    [
        ("No pericardial effusion", "There is pericardial effusion"),
        ("Left ventricle is not dilated", "Left ventricle is dilated"),
        ("Myocardium without scar", "Myocardium with scar"),
        ("Absence of thrombus", "There is thrombus"),
        ("A thrombus is absent", "A thrombus is present"),
        ("Study is negative for ischemia", "Study is positive for ischemia"),
        ("Infarction was ruled out", "Infarction was present"),
    ],
)
def test_a_negation_is_mended_to_a_statement(text: str, mended: str) -> None:
    file = GOOD.replace("There is myocardial scarring", text)
    if text == "Left ventricle is not dilated":
        file = file.replace("      - Left ventricle is dilated\n", "")
    (problem,) = lint(file, NO_BUNDLE).problems
    assert problem.code is Code.NEGATION
    assert problem.mend.lines == (f"      - {mended}",)


@pytest.mark.parametrize(
    "text", ["Nonischemic scarring", "Noncompaction of the apex", "Notched wave"]
)
def test_terms_that_begin_like_a_negation_are_none(text: str) -> None:
    assert lint(GOOD.replace("There is myocardial scarring", text), NO_BUNDLE).problems == ()


def test_what_needs_a_bundle_is_named_as_left_out() -> None:
    assert lint(GOOD, NO_BUNDLE).left_out == (
        Code.UNKNOWN_TERM,
        Code.NEAR_DUPLICATE,
        Code.NOT_SEPARATE,
    )
