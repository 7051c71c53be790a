"""Pictures of training and evaluation, drawn from the files that hold their figures."""

import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from export.metrics import GRID, Reliability, ScoreMetrics

COLOURS = 10  #: after so many curves colours begin again


def draw_training(log_file: Path, watch_file: Path, path: Path) -> None:
    """Draw the loss of a run, and the AUC that was watched, if it was."""
    log = _columns(log_file)
    figure = Figure(figsize=(11, 4), layout="constrained")
    loss, auc = figure.subplots(1, 2)
    epochs = np.unique(log["epoch"])
    means = [log["loss"][log["epoch"] == epoch].mean() for epoch in epochs]
    loss.plot(log["epoch"], log["loss"], ".", markersize=1, alpha=0.3)
    loss.plot(epochs, means)
    loss.set(title="symmetric InfoNCE", xlabel="epoch", ylabel="loss")
    watched = _columns(watch_file) if watch_file.is_file() else {}
    if "loss" in watched:
        loss.plot(watched["epoch"], watched["loss"], label="pairs that are only watched")
    for finding, curve in watched.items():
        if finding not in ("epoch", "loss"):
            auc.plot(watched["epoch"], curve, label=f"{finding} {curve[-1]:.3f}")
    auc.set(title="zero-shot, pairs that are only watched", xlabel="epoch", ylabel="AUC")
    _save(figure, path)


def draw_roc(
    curves: Mapping[str, tuple[float, ...]], found: Mapping[str, ScoreMetrics], path: Path
) -> None:
    """Draw the ROC curve of each finding."""
    figure, axes = _square("false alarms", "sensitivity")
    for finding, sensitivity in curves.items():
        axes.plot(GRID, sensitivity, label=f"{finding} {found[finding].auc:.3f}")
    _save(figure, path)


def draw_reliability(curves: Mapping[str, Reliability], path: Path) -> None:
    """Draw how often each finding is present at each predicted probability."""
    figure, axes = _square("probability from the score", "share that has the finding")
    for finding, curve in curves.items():
        axes.plot(curve.predicted, curve.observed, "o-", markersize=3, label=finding)
    _save(figure, path)


def draw_few_shot(curves: Mapping[str, Mapping[int, float]], path: Path) -> None:
    """Draw the AUC by the number of examples of each kind."""
    figure = Figure(figsize=(7.5, 5), layout="constrained")
    axes = figure.subplots()
    axes.set(xlabel="examples of each kind", ylabel="AUC", xscale="log")
    for place, (label, curve) in enumerate(curves.items()):
        line = "o-" if place < COLOURS else "o--"
        axes.plot([*curve], [*curve.values()], line, markersize=3, label=label)
    ticks = sorted({shots for curve in curves.values() for shots in curve})
    axes.set_xticks(ticks, [str(shots) for shots in ticks], minor=False)
    axes.minorticks_off()
    _save(figure, path)


def _square(across: str, up: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(7.5, 5), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], ":", color="grey")
    axes.set(xlabel=across, ylabel=up)
    return figure, axes


def _save(figure: Figure, path: Path) -> None:
    """Write a figure with its legend beside it, where it hides no curve."""
    if any(axes.get_legend_handles_labels()[1] for axes in figure.axes):
        figure.legend(loc="outside right upper", fontsize="small")
    figure.savefig(path, dpi=100, metadata={"Software": None})


def _columns(path: Path) -> dict[str, np.ndarray]:
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return {name: np.array([float(row[name] or "nan") for row in rows]) for name in rows[0]}
