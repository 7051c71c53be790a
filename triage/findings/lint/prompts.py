"""Prompts that measure badly, found by their text alone: without a model."""

import re
from collections.abc import Iterable, Iterator
from difflib import get_close_matches

from triage.findings.lint.document import FindingsDocument, Prompt, state
from triage.findings.lint.fields import leave_out
from triage.findings.lint.languages import find_language
from triage.findings.lint.model import LintModel
from triage.findings.lint.problem import Code, Explanation, Found, Severity, find_place

#: Negations of reports, and what is left without them; the first that fits is taken.
NEGATIONS = tuple(
    (re.compile(pattern, re.IGNORECASE), positive)
    for pattern, positive in (
        (r"\bno (?:evidence|signs?) (?:of|for)\b", "evidence of"),
        (r"^no\b", "There is"),
        (r"\bno\b", ""),
        (r"\b(?:does|do|did) not\b|\bcannot\b", ""),
        (r"\bnot\b", ""),
        (r"n['\u2019]t\b", ""),
        (r"\bwithout\b", "with"),
        (r"^(?:absence|lack) of\b", "There is"),
        (r"\b(?:absence|lack) of\b", "presence of"),
        (r"\babsent\b", "present"),
        (r"\bnegative for\b", "positive for"),
        (r"\bfree of\b", "with"),
        (r"\b(?:ruled out|excluded)\b", "present"),
        (r"\b(?:never|none|neither|nor)\b", ""),
    )
)
NEGATIONS_MAX = 5  #: that are taken out of one prompt
_JOINED = re.compile(
    r"\s*(?:,?\s\b(?:and|or|as well as|plus)\b|\s[&+]|;|\.(?=\s+\w))\s+", re.IGNORECASE
)
_ARTICLES = re.compile(r"\b(?:a|an|the|there (?:is|are))\b")
STATEMENT_TERMS = 3  #: a shorter part is no statement of its own, as in "mid and apical segments"


def report_prompt(
    document: FindingsDocument,
    prompt: Prompt,
    explanation: Explanation,
    *,
    mends: Iterable[str],
    fragment: str = "",
) -> Found:
    """Return a problem of a prompt, at a fragment of it; `mends` are whole files."""
    start = document.find_in(prompt.node, fragment or prompt.text)
    length = max(1, len(fragment or document.source(prompt.node).split("\n", 1)[0]))
    return Found(explanation, Severity.WARNING, start, length, lambda: mends)


def replace_prompt(
    document: FindingsDocument, prompt: Prompt, model: LintModel, sentences: Iterable[str] = ()
) -> Iterator[str]:
    """Yield the text with another prompt in place of one that is of no use, or without it.

    After the sentences given come those that the bundle is calibrated with for this id, a sentence
    with the name of the finding, and the file without the prompt and without the finding.
    """
    for sentence in sentences:
        yield document.replace_text(prompt.node, sentence)
    id_ = document.read_text(prompt.finding, "id")
    known = model.prompts.get(id_) or next(
        (model.prompts[close] for close in get_close_matches(id_, model.prompts, n=1)), ()
    )
    used = {each.text for each in document.list_prompts()}
    yield from (document.replace_text(prompt.node, each) for each in known if each not in used)
    location = ("findings", prompt.finding, "prompts", prompt.index)
    yield document.without(location)
    yield document.replace_text(prompt.node, state(document.read_text(prompt.finding, "name")))
    yield from leave_out(document, location[:2])


def find_negations(document: FindingsDocument, model: LintModel) -> Iterator[Found]:
    """Find prompts that deny; their similarity hardly differs from that of the statement."""
    for prompt in document.list_prompts():
        matches = [found for pattern, _ in NEGATIONS if (found := pattern.search(prompt.text))]
        if not matches or find_language(prompt.text):
            continue
        first = min(matches, key=lambda found: found.start())
        yield report_prompt(
            document,
            prompt,
            Explanation(
                Code.NEGATION,
                f"“{first[0].lower()}” denies: the model compares terms, and a negation "
                "hardly changes them",
                "the finding as it is when it is present",
            ),
            mends=replace_prompt(document, prompt, model, [_affirm(prompt.text)]),
            fragment=first[0],
        )


def _affirm(text: str) -> str:
    """Return a statement without its negations."""
    for _ in range(NEGATIONS_MAX):
        for pattern, positive in NEGATIONS:
            if pattern.search(text):
                text = " ".join(pattern.sub(positive, text, count=1).split())
                break
    return text[:1].upper() + text[1:]


def find_other_languages(document: FindingsDocument, model: LintModel) -> Iterator[Found]:
    """Find prompts in another language than that of the model's own prompts."""
    own = find_language(" ".join(text for texts in model.prompts.values() for text in texts))
    for prompt in document.list_prompts():
        language = find_language(prompt.text)
        if language is None or language == own:
            continue
        yield report_prompt(
            document,
            prompt,
            Explanation(
                Code.LANGUAGE,
                f"this prompt is in {language}, and the model was trained with {own or 'English'} "
                "reports",
                f"a sentence in {own or 'English'}",
            ),
            mends=replace_prompt(document, prompt, model),
        )


def find_two_statements(document: FindingsDocument, model: LintModel) -> Iterator[Found]:
    """Find prompts that join two statements; their similarity is that of neither."""
    for prompt in document.list_prompts():
        joint = _JOINED.search(prompt.text)
        if joint is None or find_language(prompt.text):
            continue
        first, second = prompt.text[: joint.start()], prompt.text[joint.end() :]
        rest = second.partition(" ")[2]
        parts = [first, f"{first} {rest}"]
        if len(first.split()) < STATEMENT_TERMS:
            parts.reverse()
        joined = joint[0].strip() or "."
        yield report_prompt(
            document,
            prompt,
            Explanation(
                Code.TWO_STATEMENTS,
                f"“{joined}” joins two statements, and the score measures neither of them well",
                "one statement; the other as a prompt or finding of its own",
            ),
            mends=replace_prompt(document, prompt, model, parts),
            fragment=joined,
        )


def find_repeated_prompts(document: FindingsDocument, model: LintModel) -> Iterator[Found]:
    """Find prompts that differ in case, articles and punctuation alone, within or between."""
    first: dict[str, Prompt] = {}
    for prompt in document.list_prompts():
        key = _normalise(prompt.text)
        if not key or key not in first:
            first.setdefault(key, prompt)
            continue
        before = first[key]
        is_same = before.finding == prompt.finding
        if is_same and before.text == prompt.text:
            continue  # an error: `double-prompt`
        line, _ = find_place(document.text, before.node.start_mark.index)
        if is_same:
            code, expected = Code.NEAR_DUPLICATE, "another phrasing, or one prompt less"
            sentence = f"this is the prompt of line {line} once more; it would count twice"
        else:
            code, expected = Code.SHARED_PROMPT, "prompts that only this finding has"
            sentence = (
                f"line {line} has this prompt for another finding: both would be flagged together"
            )
        mends = replace_prompt(document, prompt, model)
        yield report_prompt(document, prompt, Explanation(code, sentence, expected), mends=mends)


def _normalise(text: str) -> str:
    letters = re.sub(r"[^\w]+", " ", text.lower()).strip()
    return " ".join(_ARTICLES.sub(" ", letters).split())
