"""Prompts that the vocabulary or the text tower of a bundle does not tell apart.

The limits are cosines of text embeddings. On the shipped findings files, with the text tower of the
demo bundle, two prompts of one finding have at most 0.991 and two of different findings at most
0.888, so both limits leave a margin. With other towers all cosines may be higher: a limit is never
below the highest cosine between the prompts that the bundle is calibrated with.
"""

import re
from collections.abc import Iterator, Sequence
from difflib import get_close_matches

import numpy as np
from numpy.typing import NDArray

from triage.findings.lint.document import FindingsDocument, Prompt
from triage.findings.lint.languages import find_language
from triage.findings.lint.model import Encode, LintModel, Vocabulary
from triage.findings.lint.problem import Code, Explanation, Found, find_place
from triage.findings.lint.prompts import replace_prompt, report_prompt

#: A full stop at the end leaves 0.995 of a prompt, and an article 0.998.
NEAR_DUPLICATE = 0.994
#: The denial of a prompt has 0.947 (There is no myocardial scarring), and no other finding so much.
NOT_SEPARATE = 0.93
PIECE_MIN = 2.0  #: letters of a term for each of its pieces, on average; fewer: it is spelled out
TERM_MIN = 3  #: letters of a term that may be unknown; shorter ones are abbreviations
CLOSE = 0.75  #: likeness (`difflib`) of a term to one of the vocabulary that may have been meant
PROMPTS_MAX = 1000  #: that are compared; each takes milliseconds, and each pair memory
SHOWN = 3  #: unknown terms that a sentence repeats


def find_unknown_terms(document: FindingsDocument, model: LintModel) -> Iterator[Found]:
    """Find prompts with terms that the tokenizer spells out: misspelt, foreign, or gibberish."""
    vocabulary = model.vocabulary
    if vocabulary is None:
        return
    known = vocabulary.list_terms()
    for prompt in list(document.list_prompts())[:PROMPTS_MAX]:
        unknown = _list_unknown(prompt.text, vocabulary)
        if not unknown or find_language(prompt.text):
            continue
        quoted = ", ".join(f"“{term}”" for term in unknown[:SHOWN])
        spelled = _spell(prompt.text, unknown, known, vocabulary)
        yield report_prompt(
            document,
            prompt,
            Explanation(
                Code.UNKNOWN_TERM,
                f"{quoted}: the model has no such term and reads its letters one by one",
                "terms that the model knows from reports, in its spelling",
            ),
            mends=replace_prompt(document, prompt, model, spelled),
            fragment=unknown[0],
        )


def _list_unknown(text: str, vocabulary: Vocabulary) -> list[str]:
    terms = re.findall(r"[^\W\d_]+", text)
    return [term for term in terms if len(term) >= TERM_MIN and _is_unknown(term, vocabulary)]


def _is_unknown(term: str, vocabulary: Vocabulary) -> bool:
    pieces = vocabulary.count_pieces(term)
    return pieces == 0 or len(term) / pieces < PIECE_MIN


def _spell(
    text: str, unknown: Sequence[str], known: Sequence[str], vocabulary: Vocabulary
) -> list[str]:
    """Return a prompt with the closest known term for each unknown one; none if one has none."""
    for term in unknown:
        close = get_close_matches(term.lower(), known, n=1, cutoff=CLOSE)
        if not close or _is_unknown(close[0], vocabulary):
            return []
        text = text.replace(term, close[0] if term.islower() else close[0].capitalize())
    return [text]


def find_near_duplicates(document: FindingsDocument, model: LintModel) -> Iterator[Found]:
    """Find prompts of one finding that the text tower hardly tells apart."""
    limit = max(NEAR_DUPLICATE, _find_highest(model, is_same=True))
    for prompt, before, cosine in _list_alike(document, model, limit, is_same=True):
        line, _ = find_place(document.text, before.node.start_mark.index)
        yield report_prompt(
            document,
            prompt,
            Explanation(
                Code.NEAR_DUPLICATE,
                f"the model hardly tells this prompt from that of line {line} (cosine "
                f"{cosine:.3f}), so it would count almost twice",
                f"a phrasing with a cosine of at most {limit:.3f}, or one prompt less",
            ),
            mends=replace_prompt(document, prompt, model),
        )


def find_not_separate(document: FindingsDocument, model: LintModel) -> Iterator[Found]:
    """Find prompts of different findings that the text tower hardly tells apart."""
    limit = max(NOT_SEPARATE, _find_highest(model, is_same=False))
    for prompt, before, cosine in _list_alike(document, model, limit, is_same=False):
        line, _ = find_place(document.text, before.node.start_mark.index)
        other = document.read_text(before.finding, "id")
        yield report_prompt(
            document,
            prompt,
            Explanation(
                Code.NOT_SEPARATE,
                f"the model hardly tells this prompt from that of line {line} for `{other}` "
                f"(cosine {cosine:.3f}), so both would be flagged together",
                f"a prompt with a cosine of at most {limit:.3f} to those of other findings",
            ),
            mends=replace_prompt(document, prompt, model),
        )


def _list_alike(
    document: FindingsDocument, model: LintModel, limit: float, *, is_same: bool
) -> Iterator[tuple[Prompt, Prompt, float]]:
    """Yield each prompt with the earlier one that is most like it, if that is beyond a limit."""
    prompts = list(document.list_prompts())[:PROMPTS_MAX]
    if model.encode is None or not prompts:
        return
    owners = np.array([prompt.finding for prompt in prompts])
    cosines = _compare([prompt.text for prompt in prompts], owners, model.encode, is_same=is_same)
    for index, prompt in enumerate(prompts):
        before = cosines[index, :index]
        if before.size and before.max() > limit:
            other = prompts[int(before.argmax())]
            if _squeeze(other.text) != _squeeze(prompt.text):  # found without a model
                yield prompt, other, float(before.max())


def _squeeze(text: str) -> str:
    return re.sub(r"[^\w]+", "", text.lower())


def _find_highest(model: LintModel, *, is_same: bool) -> float:
    """Return the highest cosine between two prompts that the bundle is calibrated with."""
    if model.encode is None:
        return -1.0
    texts = [text for listed in model.prompts.values() for text in listed]
    owners = [index for index, listed in enumerate(model.prompts.values()) for _ in listed]
    if not texts:
        return -1.0
    cosines = _compare(texts, np.array(owners), model.encode, is_same=is_same)
    return float(np.tril(cosines + 1, -1).max() - 1)


def _compare(
    texts: Sequence[str], owners: NDArray[np.int64], encode: Encode, *, is_same: bool
) -> NDArray[np.float64]:
    """Return the cosines (n, n) of texts with the same owner, or with others; -1 elsewhere."""
    embeddings = np.stack([encode(text) for text in texts])
    is_meant = (owners[:, None] == owners[None, :]) == is_same
    return np.where(is_meant, (embeddings @ embeddings.T).astype(np.float64), -1.0)
