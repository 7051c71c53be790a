"""The hand-written sentences beside this module, and how well the rules read them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from triage.domain.outcome import OutcomeStatus
from triage.findings.extraction import OutcomeReader

SHORT = {
    "lvdys": "lv_dysfunction",
    "rvdys": "rv_dysfunction",
    "lvdil": "lv_dilation",
    "rvdil": "rv_dilation",
    "lvh": "lv_hypertrophy",
    "lge": "lge",
    "aorta": "aortic_dilation",
    "effusion": "pericardial_effusion",
}
SIGNS = {
    "+": OutcomeStatus.PRESENT,
    "-": OutcomeStatus.ABSENT,
    "?": OutcomeStatus.UNCERTAIN,
}


@dataclass
class ReadingTally:
    """How many of the stated outcomes were read (recall), and of the read ones were stated."""

    right: int = 0
    read: int = 0
    stated: int = 0
    misses: list[str] = field(default_factory=list)

    @property
    def precision(self) -> float:
        return self.right / self.read

    @property
    def recall(self) -> float:
        return self.right / self.stated


def marked_sentences(name: str) -> Iterator[tuple[str, Mapping[str, OutcomeStatus]]]:
    """Yield the sentences of a file with the outcomes that they state."""
    path = Path(__file__).with_name(f"sentences_{name}.txt")
    for line in path.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            sentence, marks = line.rsplit("|", 1)
            yield sentence.strip(), {SHORT[m[1:]]: SIGNS[m[0]] for m in marks.split()}


def read_outcomes(text: str) -> dict[str, OutcomeStatus]:
    """Return the outcomes of a text without the findings that it does not mention."""
    return {
        outcome.finding_id: outcome.status
        for outcome in OutcomeReader().read(text)
        if outcome.status is not OutcomeStatus.NOT_MENTIONED
    }


def tally_sentences(name: str) -> ReadingTally:
    """Read the sentences of a file, and print the misread ones and the figures."""
    tally = ReadingTally()
    count = 0
    for sentence, stated in marked_sentences(name):
        read = read_outcomes(sentence)
        count += 1
        tally.right += sum(read.get(finding) is status for finding, status in stated.items())
        tally.read += len(read)
        tally.stated += len(stated)
        if read != stated:
            tally.misses.append(f"{sentence} stated {_format(stated)} read {_format(read)}")
    figures = f"precision {tally.precision:.3f}, recall {tally.recall:.3f}"
    print(f"{name}: {count} sentences, {tally.stated} outcomes, {figures}", *tally.misses, sep="\n")
    return tally


def _format(outcomes: Mapping[str, OutcomeStatus]) -> str:
    signs = {status: sign for sign, status in SIGNS.items()}
    names = {finding: short for short, finding in SHORT.items()}
    return " ".join(f"{signs[outcomes[f]]}{names[f]}" for f in sorted(outcomes)) or "nothing"
