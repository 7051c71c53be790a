"""Writes an adaptation as adapt.md for readers and adapt.json for programs.

Nothing is computed here. adapt.json has every figure of adapt.md; the manifest of a bundle that is
exported from the run takes its verdict from there.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from export.adaptation import Adaptation, AdaptationVerdict
from export.vocabulary_fit import VocabularyFit

PAGE = "adapt.md"
FIGURES = "adapt.json"
RANKS = ("R@1", "R@5", "median rank")
KEEP = "Keep the old bundle."


def write_adaptation(found: Adaptation, run: Path) -> str:
    """Write adapt.md and adapt.json into the run's folder; return the text of adapt.md."""
    text = "\n".join(_lines(found)) + "\n"
    (run / PAGE).write_text(text, encoding="utf-8")
    (run / FIGURES).write_text(json.dumps(asdict(found), indent=1) + "\n", encoding="utf-8")
    return text


def adaptation_of(run: Path) -> dict[str, str | int | float]:
    """Return what the manifest of a bundle states of an adaptation; empty if the run is none."""
    if not (run / FIGURES).is_file():
        return {}
    found = json.loads((run / FIGURES).read_text(encoding="utf-8"))
    return {
        "adapted_from_sha256": found["start"],
        "adapted_to_studies": found["studies"],
        "adaptation": found["verdict"],
    }


def describe_verdict(found: Adaptation) -> str:
    """Return what the held-out patients show, and what to do."""
    change = found.change
    loss = f"loss of held-out pairs changed by {change.mean:+.3f}"
    interval = f"95 % interval {change.low:+.3f} to {change.high:+.3f}"
    match found.verdict:
        case AdaptationVerdict.HELPED:
            return f"The adaptation helped: the {loss} ({interval})."
        case AdaptationVerdict.UNCLEAR:
            return f"{KEEP} The {loss}, which chance may explain ({interval})."
        case AdaptationVerdict.NO_BETTER:
            return f"{KEEP} The adaptation did not help: the {loss} ({interval})."
        case AdaptationVerdict.FINDING_LOST:
            names = ", ".join(found.lost)
            return f"{KEEP} The {loss} ({interval}), but the network separates worse: {names}."


def _lines(found: Adaptation) -> Iterator[str]:
    yield from ["# Adaptation to a site", "", f"**{describe_verdict(found)}**", ""]
    yield (
        f"Trained on {found.studies} studies of {found.patients} patients; measured on"
        f" {found.held_out_studies} studies of {found.held_out_patients} patients who are not among"
        f" them. Best epoch: {found.best_epoch} of {found.epochs}. These patients also chose the"
        " epoch, so the figures after are slightly too good: measure the bundle on other studies"
        " with `evaluate`."
    )
    yield from ["", *_held_out(found), *_findings(found), "", *_vocabulary(found.vocabulary)]


def _held_out(found: Adaptation) -> Iterator[str]:
    yield from ["| held-out pairs | before | after |", "| --- | ---: | ---: |"]
    yield f"| contrastive loss | {found.before.loss:.3f} | {found.after.loss:.3f} |"
    for direction, before in found.before.retrieval.items():
        after = found.after.retrieval[direction]
        for rank in RANKS:
            yield f"| {direction}, {rank} | {before[rank]:.3g} | {after[rank]:.3g} |"


def _findings(found: Adaptation) -> Iterator[str]:
    if not found.before.findings:
        yield from ["", "No finding has labels, so no AUC was measured."]
        return
    yield from ["", "| AUC (95 % interval) | studies | positive | before | after |"]
    yield "| --- | ---: | ---: | ---: | ---: |"
    for id_, before in found.before.findings.items():
        aucs = (
            f"{one.auc:.3f} ({one.auc_low:.3f} to {one.auc_high:.3f})"
            for one in (before, found.after.findings[id_])
        )
        yield f"| {id_} | {before.studies} | {before.positives} | {' | '.join(aucs)} |"


def _vocabulary(fit: VocabularyFit) -> Iterator[str]:
    yield (
        f"Vocabulary: {_share(fit.unknown, fit.pieces)} of the pieces of the impressions are"
        f" unknown to the tokenizer; {_share(fit.split, fit.terms)} of the terms are split into"
        f" pieces; {_share(fit.cut, fit.impressions)} of the impressions are longer than the text"
        " tower reads."
    )
    if fit.foreign:
        yield f"Terms of many impressions that are not in the vocabulary: {', '.join(fit.foreign)}."
    if not fit.fits:
        yield (
            "The tokenizer does not fit these impressions, and an adaptation adds no term to it. A"
            " network with the site's vocabulary (`pretrain` without --start) needs more studies."
        )


def _share(part: int, whole: int) -> str:
    return f"{100 * part / max(1, whole):.1f} %"
