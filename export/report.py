"""Writes an evaluation as report.md, report.html and pictures, and as figures.json for programs.

Nothing is computed here: every figure comes from the `Evaluation`, and figures.json contains all of
them.
"""

import base64
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path

from markdown_it import MarkdownIt

from export.curves import draw_few_shot, draw_reliability, draw_roc
from export.evaluate import Evaluation
from export.metrics import Reliability, ScoreMetrics
from triage.domain.performance import Rate

REPORT = "report.md"
PAGE = "report.html"
FIGURES = "figures.json"
STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "table{border-collapse:collapse;margin:1rem 0}td,th{padding:.2rem .7rem;text-align:right;"
    "border-bottom:1px solid #ccc}td:first-child,th:first-child{text-align:left}img{max-width:100%}"
)


def write_report(evaluation: Evaluation, title: str, folder: Path) -> None:
    """Write the report's files into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    draw_roc(evaluation.roc, evaluation.zero_shot, folder / "roc.png")
    draw_reliability(evaluation.reliability, folder / "reliability.png")
    draw_few_shot(evaluation.few_shot, folder / "few-shot.png")
    text = "\n".join([f"# {title}", *_sections(evaluation)]) + "\n"
    (folder / REPORT).write_text(text, encoding="utf-8")
    (folder / PAGE).write_text(_page(text, title, folder), encoding="utf-8")
    figures = json.dumps(asdict(evaluation), indent=1)
    (folder / FIGURES).write_text(figures + "\n", encoding="utf-8")


def _page(text: str, title: str, folder: Path) -> str:
    """Return the report as one HTML file with embedded pictures."""
    body = MarkdownIt("commonmark", {"html": False}).enable("table").render(text)

    def inside(match: re.Match[str]) -> str:
        picture = base64.b64encode((folder / match[1]).read_bytes()).decode()
        return f'src="data:image/png;base64,{picture}"'

    body = re.sub(r'src="([\w-]+\.png)"', inside, body)
    head = f'<meta charset="utf-8"><title>{title}</title><style>{STYLE}</style>'
    return f"<!doctype html><html lang=en><head>{head}</head><body>{body}</body></html>\n"


def _sections(found: Evaluation) -> Iterator[str]:
    yield from _section("Zero-shot", _table(found.zero_shot))
    yield from ["", "![ROC curves](roc.png)"]
    if found.paraphrased:
        yield from _section("With prompts that training never saw", _paraphrases(found))
    for group, each in found.groups.items():
        yield from _section(group, _table(each), "###")
    for head, each in found.probes.items():
        yield from _section(
            f"{head} on the embedding, 5 folds", _heads(each, found.beside.get(head, {}))
        )
    yield from _section("Few-shot (SimpleShot, mean AUC of 100 episodes)", _shots(found.few_shot))
    yield from ["", "![AUC by shots](few-shot.png)"]
    yield from _section("Retrieval", _retrieval(found.retrieval))
    yield from _section("Reliability", _reliability(found.reliability))
    yield from ["", "![Reliability curves](reliability.png)"]


def _section(title: str, table: Iterator[str], level: str = "##") -> Iterator[str]:
    yield from ["", f"{level} {title}", ""]
    yield from table


def _table(found: Mapping[str, ScoreMetrics]) -> Iterator[str]:
    yield from _head(
        *("", "studies", "positive", "AUC (95 % interval)", "sensitivity (95 %)"),
        *("specificity (95 %)", "accuracy", "F1", "threshold"),
    )
    for label, each in found.items():
        counts = (str(each.studies), str(each.positives))
        rates = (_auc(each), _rate(each.sensitivity), _rate(each.specificity))
        figures = [f"{figure:.3f}" for figure in (each.accuracy, each.f1, each.threshold)]
        yield _row(label, *counts, *rates, *figures)


def _paraphrases(found: Evaluation) -> Iterator[str]:
    yield from _head("", "AUC, own prompts", "AUC, other prompts (95 % interval)", "lost")
    for label, each in found.paraphrased.items():
        own = found.zero_shot[label].auc
        yield _row(label, f"{own:.3f}", _auc(each), f"{own - each.auc:.3f}")


def _heads(found: Mapping[str, ScoreMetrics], beside: Mapping[str, ScoreMetrics]) -> Iterator[str]:
    other = ["AUC, other bundle"] if beside else []
    yield from _head("", "studies", "positive", "AUC (95 % interval)", "accuracy", "F1", *other)
    for label, each in found.items():
        also = [_auc(beside[label])] if label in beside else []
        figures = [f"{figure:.3f}" for figure in (each.accuracy, each.f1)]
        yield _row(label, str(each.studies), str(each.positives), _auc(each), *figures, *also)


def _shots(found: Mapping[str, Mapping[int, float]]) -> Iterator[str]:
    shots = sorted({count for curve in found.values() for count in curve})
    yield from _head("label", *map(str, shots))
    for label, curve in found.items():
        yield _row(label, *(f"{curve[at]:.3f}" if at in curve else "" for at in shots))


def _retrieval(found: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
    yield from _head("", *next(iter(found.values())))
    for direction, each in found.items():
        yield _row(direction, *(f"{value:.3f}" for value in each.values()))


def _reliability(found: Mapping[str, Reliability]) -> Iterator[str]:
    yield from _head("", "expected calibration error")
    for label, each in found.items():
        yield _row(label, f"{each.error:.3f}")


def _auc(each: ScoreMetrics) -> str:
    return f"{each.auc:.3f} ({each.auc_low:.3f} to {each.auc_high:.3f})"


def _rate(each: Rate) -> str:
    return f"{each.value:.3f} ({each.low:.3f} to {each.high:.3f})"


def _head(first: str, *headings: str) -> Iterator[str]:
    yield _row(first, *headings)
    yield _row("---", *(["---:"] * len(headings)))


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
