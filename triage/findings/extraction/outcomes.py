"""The outcome of each finding from all statements of an impression.

Present takes precedence over uncertain, and both over absent: "no scar of the septum; scar of the
lateral wall". A measurement gives way to the reader's own judgement; if it contradicts it in
another sentence, the finding is uncertain.
"""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from triage.domain.outcome import FindingOutcome, OutcomeStatus
from triage.findings.extraction.phrases import load_lexicon, split_words, with_own_words
from triage.findings.extraction.sentences import split_sentences
from triage.findings.extraction.statements import ALL, FindingStatement, list_statements
from triage.findings.extraction.subjects import Context

#: The findings that the rules read by their ids in the findings files, and pericardial effusion.
READ = ALL
ORDER = (OutcomeStatus.PRESENT, OutcomeStatus.UNCERTAIN, OutcomeStatus.ABSENT)
Stated = tuple[FindingStatement, str]  #: with its sentence


class OutcomeReader:
    """Reads outcomes; `own_words` has the words of further findings by id. Thread-safe."""

    def __init__(self, own_words: Mapping[str, Sequence[str]] = MappingProxyType({})) -> None:
        self._lexicon = with_own_words(own_words) if own_words else load_lexicon()
        self._findings = tuple(dict.fromkeys((*READ, *own_words)))

    def read(self, impression: str) -> tuple[FindingOutcome, ...]:
        """Return the outcome of every finding; those not mentioned have that status."""
        stated: dict[str, list[Stated]] = {}
        context = Context()
        for sentence, begins in split_sentences(impression):
            context = Context(ventricles=() if begins else context.ventricles)
            marks = list(self._lexicon.find_marks(split_words(sentence)))
            for statement in _prefer_judgements(list_statements(marks, context)):
                stated.setdefault(statement.finding_id, []).append((statement, sentence))
        return tuple(_conclude(finding, stated.get(finding, ())) for finding in self._findings)


def _prefer_judgements(statements: Iterable[FindingStatement]) -> list[FindingStatement]:
    """Return the statements of a sentence without measurements that it judges in words."""
    found = list(statements)
    judged = {(each.finding_id, each.place) for each in found if not each.is_measured}
    findings = {finding for finding, _ in judged}
    return [
        each
        for each in found
        if not each.is_measured
        or (
            (each.finding_id, each.place) not in judged
            and (each.place or each.finding_id not in findings)
        )
    ]


def _conclude(finding: str, stated: Sequence[Stated]) -> FindingOutcome:
    places = dict.fromkeys(statement.place for statement, _ in stated)
    outcomes = [_of_place(finding, [s for s in stated if s[0].place == place]) for place in places]
    if not outcomes:
        return FindingOutcome(finding, OutcomeStatus.NOT_MENTIONED)
    return min(outcomes, key=lambda outcome: ORDER.index(outcome.status))


def _of_place(finding: str, stated: Sequence[Stated]) -> FindingOutcome:
    worded = [each for each in stated if not each[0].is_measured]
    first, sentence = min(worded or stated, key=lambda each: ORDER.index(each[0].status))
    contrary = [
        text
        for each, text in stated
        if each.is_measured
        and first.status is OutcomeStatus.ABSENT
        and each.status is OutcomeStatus.PRESENT
    ]
    if contrary:
        return FindingOutcome(finding, OutcomeStatus.UNCERTAIN, f"{sentence} {contrary[0]}")
    return FindingOutcome(finding, first.status, sentence)
