"""Validation during training: contrastive loss and zero-shot AUC of every finding after each epoch.

Labels influence no weight, no early stop and no choice of an epoch. The loss influences the last
two if the recipe has `stopping`.
"""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from tokenizers import Tokenizer
from torch import Tensor

from export.cmrclip import CmrClip, similarity
from export.contrast import pair_losses
from export.embed import embed_frames, embed_texts
from export.pairs import Pairs
from triage.domain.finding import FindingSet

WATCH = "watch.csv"
CHUNK = 32  #: clips at once


@dataclass(frozen=True)
class WatchedEmbeddings:
    """The embeddings of watched pairs and of the prompts, by a network in training."""

    studies: Tensor  #: (N, D)
    texts: Tensor  #: (N, D), of the impressions
    scores: Mapping[str, Tensor]  #: finding id -> mean cosine of its prompts, (N)

    def losses(self, temperature: float) -> Tensor:
        """Return the contrastive loss of each pair among all of them, (N)."""
        return pair_losses(similarity(self.texts, self.studies), temperature)


@dataclass(frozen=True)
class ValidationWatch:
    """Pairs to measure, and the findings to measure where the pairs have labels."""

    pairs: Pairs
    findings: FindingSet

    def measure_epoch(
        self, network: CmrClip, tokenizer: Tokenizer, epoch: int, run: Path, temperature: float
    ) -> float:
        """Measure the network, append a line to watch.csv, and return the contrastive loss."""
        embedded = self.embed(network, tokenizer)
        network.train()
        loss = embedded.losses(temperature).mean().item()
        auc = {id_: self._formatted_auc(id_, scores) for id_, scores in embedded.scores.items()}
        found = {"epoch": str(epoch), "loss": repr(loss), **auc}
        path = run / WATCH
        first = not path.is_file()
        with path.open("a", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, [*found])
            if first:
                writer.writeheader()
            writer.writerow(found)
        return loss

    def embed(self, network: CmrClip, tokenizer: Tokenizer) -> WatchedEmbeddings:
        """Embed clips, impressions and prompts; the network is left in evaluation mode."""
        network.eval()
        with torch.inference_mode():
            studies = self._studies(network)
            return WatchedEmbeddings(
                studies=studies,
                texts=embed_texts(network, tokenizer, list(self.pairs.impressions)),
                scores={
                    finding.id: similarity(
                        embed_texts(network, tokenizer, list(finding.prompts)), studies
                    ).mean(0)
                    for finding in self.findings.findings
                },
            )

    def _studies(self, network: CmrClip) -> Tensor:
        rows = np.arange(len(self.pairs))
        resize = self.pairs.form.preprocessing.resize
        return torch.cat(
            [
                embed_frames(network, self.pairs.clips(part), self.pairs.counts[part], resize)
                for part in (rows[at : at + CHUNK] for at in range(0, len(rows), CHUNK))
            ]
        )

    def _formatted_auc(self, id_: str, scores: Tensor) -> str:
        labels = self.pairs.labels(id_)
        known = ~np.isnan(labels)
        if not {0.0, 1.0} <= {*labels[known]}:
            return ""
        return f"{roc_auc_score(labels[known], scores.numpy()[known]):.4f}"


def find_best_epoch(run: Path) -> tuple[int, int]:
    """Return the epoch with the lowest loss in watch.csv, and how many epochs it has."""
    with (run / WATCH).open(encoding="utf-8", newline="") as file:
        rows = [(float(row["loss"]), int(row["epoch"])) for row in csv.DictReader(file)]
    return min(rows)[1], len(rows)
