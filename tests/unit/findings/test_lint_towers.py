"""Rules on the vocabulary and the text tower, with the shipped demo bundle and with made ones."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.builders.findings_files import GOOD
from triage.config import Settings
from triage.findings.lint.checks import lint
from triage.findings.lint.model import LintModel
from triage.findings.lint.problem import Code, Problem, apply_mend
from triage.findings.loader import load_findings
from triage.model.bundle import open_bundle
from triage.model.vocabulary import TokenizerVocabulary
from triage.runtime.lint import open_lint_model
from triage.runtime.model import DEMO_BUNDLE, SHIPPED
from triage.runtime.settings import load_settings

FINDINGS = Path("triage/findings")
SCAR, DILATED = "There is myocardial scarring", "Left ventricle is dilated"
VIEWS = ("cine_lax", "cine_sa", "lge_sa", "lge_lax", "lge_2ch", "lge_3ch")


@pytest.fixture(scope="module")
def demo() -> LintModel:
    return open_lint_model(Settings(), DEMO_BUNDLE)


class ListedVocabulary:
    """A vocabulary that has its terms whole and spells all others."""

    def __init__(self, terms: str) -> None:
        self._terms = sorted(terms.lower().split())

    def list_terms(self) -> Sequence[str]:
        return self._terms

    def count_pieces(self, term: str) -> int:
        return 1 if term.lower() in self._terms else len(term) * term.isascii()


def listed_model(**known: str) -> LintModel:
    vocabulary = ListedVocabulary(GOOD.replace(":", " ").replace("-", " ") + " scar " + SCAR)
    return LintModel(VIEWS, {id_: (text,) for id_, text in known.items()}, vocabulary)


def tower_model(
    likeness: Mapping[frozenset[str], float], prompts: Mapping[str, Sequence[str]] | None = None
) -> LintModel:
    """Return a model whose texts are orthogonal, but for pairs with a stated cosine."""
    seen: list[str] = []

    def encode(text: str) -> NDArray[np.float32]:
        if text not in seen:
            seen.append(text)
        embedding = np.zeros(64, np.float32)
        embedding[seen.index(text)] = 1
        for pair, cosine in likeness.items():
            other = next(iter(pair - {text}), text)
            if text in pair and other in seen and seen.index(other) < seen.index(text):
                embedding[seen.index(text)] = np.sqrt(1 - cosine**2)
                embedding[seen.index(other)] = cosine
        return embedding

    return LintModel(VIEWS, prompts or {}, None, encode)


def only(text: str, model: LintModel) -> Problem:
    (problem,) = lint(text, model).problems
    print(problem.describe("f.yaml"))
    assert lint(apply_mend(text, problem.mend), model).problems == ()
    return problem


@pytest.mark.parametrize("name", ["default.yaml", "drawn_hearts.yaml"])
def test_the_shipped_files_are_clean_with_the_demo_bundle(demo: LintModel, name: str) -> None:
    result = lint((FINDINGS / name).read_text(encoding="utf-8"), demo)
    assert result.problems == ()
    assert result.left_out == ()


@pytest.mark.parametrize("bundle", ["demo", "untrained"])
def test_a_vocabulary_has_the_terms_of_the_shipped_prompts(bundle: str) -> None:
    vocabulary = TokenizerVocabulary(open_bundle(SHIPPED / bundle))
    assert "ventricle" in vocabulary.list_terms()
    assert vocabulary.count_pieces("ventricle") == 1
    assert vocabulary.count_pieces("qxzvk") == 5
    assert vocabulary.count_pieces("左室") == 0


def test_an_untrained_bundle_has_views_alone() -> None:
    model = open_lint_model(Settings(), SHIPPED / "untrained")
    assert model.views == VIEWS
    assert (model.vocabulary, model.encode) == (None, None)


def test_without_bundle_and_settings_nothing_is_known() -> None:
    assert open_lint_model(load_settings(None, {}), None) == LintModel()


def test_a_misspelt_term_is_mended_with_the_closest_known_one() -> None:
    problem = only(GOOD.replace(SCAR, "There is myocardial scaring"), listed_model())
    assert (problem.code, problem.line, problem.column) == (Code.UNKNOWN_TERM, 15, 29)
    assert problem.mend.lines == (f"      - {SCAR}",)


def test_gibberish_is_mended_with_a_prompt_that_the_model_knows() -> None:
    known = "Late enhancement"
    problem = only(GOOD.replace(SCAR, "qxz vvvk"), listed_model(lge=known))
    assert problem.code is Code.UNKNOWN_TERM
    assert problem.mend.lines == (f"      - {known}",)


def test_gibberish_without_a_known_prompt_is_left_out() -> None:
    problem = only(GOOD.replace(SCAR, "qxz vvvk"), listed_model())
    assert problem.mend.lines == ()


def test_gibberish_is_found_by_the_demo_bundle(demo: LintModel) -> None:
    text = (FINDINGS / "drawn_hearts.yaml").read_text(encoding="utf-8")
    problem = only(text.replace(SCAR, "Qwertz uiop asdf"), demo)
    assert problem.code is Code.UNKNOWN_TERM


def test_a_language_of_which_the_bundle_has_its_prompts_is_its_own() -> None:
    german = "Der linke Ventrikel ist erweitert"
    model = LintModel(VIEWS, {"lv_dilation": (german,)})
    text = GOOD.replace(DILATED, german)
    assert [p.code for p in lint(text, LintModel(VIEWS)).problems] == [Code.LANGUAGE]
    assert lint(text, model).problems == ()


def test_prompts_of_one_finding_that_the_tower_hardly_tells_apart() -> None:
    alike = {frozenset({DILATED, "Left ventricle is enlarged in size"}): 0.997}
    problem = only(GOOD, tower_model(alike))
    assert (problem.code, problem.line, problem.column) == (Code.NEAR_DUPLICATE, 7, 9)
    assert "line 6" in problem.sentence
    assert problem.mend.lines == ()


def test_prompts_of_two_findings_that_the_tower_hardly_tells_apart() -> None:
    problem = only(GOOD, tower_model({frozenset({DILATED, SCAR}): 0.96}))
    assert (problem.code, problem.line, problem.column) == (Code.NOT_SEPARATE, 15, 9)
    assert "line 6 for `lv_dilation`" in problem.sentence


def test_prompts_as_alike_as_those_of_the_calibration_are_no_problem() -> None:
    alike = {
        frozenset({DILATED, SCAR}): 0.96,
        frozenset({DILATED, "Left ventricle is enlarged in size"}): 0.997,
        frozenset({"a", "b"}): 0.998,
        frozenset({"a", "c"}): 0.97,
    }
    calibrated = {"one": ("a", "b"), "two": ("c",)}
    assert lint(GOOD, tower_model(alike, calibrated)).problems == ()


def test_a_full_stop_makes_no_other_prompt_for_the_demo_bundle(demo: LintModel) -> None:
    findings = load_findings(FINDINGS / "drawn_hearts.yaml").findings
    assert demo.encode is not None
    for prompt in (prompt for finding in findings for prompt in finding.prompts):
        assert float(demo.encode(prompt) @ demo.encode(f"{prompt}.")) > 0.5
