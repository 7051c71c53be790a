"""Pictures of training and evaluation, drawn from the files that hold their figures."""

import csv
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

LOG = "log.csv"
WATCH = "watch.csv"
PICTURE = "training.png"


def draw_training(run: Path) -> None:
    """Draw the loss and the watched AUC of a run, training.png."""
    log = _columns(run / LOG)
    figure = Figure(figsize=(10, 4), layout="constrained")
    loss, auc = figure.subplots(1, 2)
    epochs = np.unique(log["epoch"])
    means = [log["loss"][log["epoch"] == epoch].mean() for epoch in epochs]
    loss.plot(log["epoch"], log["loss"], ".", markersize=1, alpha=0.3)
    loss.plot(epochs, means)
    loss.set(title="symmetric InfoNCE", xlabel="epoch", ylabel="loss")
    watched = _columns(run / WATCH) if (run / WATCH).is_file() else {}
    for finding, curve in watched.items():
        if finding != "epoch":
            auc.plot(watched["epoch"], curve, label=f"{finding} {curve[-1]:.3f}")
    if watched:
        auc.legend(loc="lower right", fontsize="small")
    auc.set(title="zero-shot, pairs that are only watched", xlabel="epoch", ylabel="AUC")
    figure.savefig(run / PICTURE, dpi=100)


def _columns(path: Path) -> dict[str, np.ndarray]:
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return {name: np.array([float(row[name] or "nan") for row in rows]) for name in rows[0]}
