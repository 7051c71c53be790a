"""Validation during training: the zero-shot AUC of every finding after each epoch.

It only measures. Labels influence no weight, no early stop and no choice of an epoch.
"""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from tokenizers import Tokenizer
from torch import Tensor

from export.cmrclip import CmrClip, similarity
from export.embed import embed_frames, embed_texts
from export.pairs import Pairs
from triage.domain.finding import FindingSet

WATCH = "watch.csv"
CHUNK = 32  #: clips at once


@dataclass(frozen=True)
class ValidationWatch:
    """Labelled pairs, and the findings to measure on them."""

    pairs: Pairs
    findings: FindingSet

    def measure_epoch(self, network: CmrClip, tokenizer: Tokenizer, epoch: int, run: Path) -> None:
        """Measure the network and append a line to watch.csv."""
        found = {"epoch": str(epoch), **self._auc(network, tokenizer)}
        path = run / WATCH
        first = not path.is_file()
        with path.open("a", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, [*found])
            if first:
                writer.writeheader()
            writer.writerow(found)

    def _auc(self, network: CmrClip, tokenizer: Tokenizer) -> dict[str, str]:
        network.eval()
        with torch.inference_mode():
            studies = self._studies(network)
            scores = {
                finding.id: similarity(
                    embed_texts(network, tokenizer, list(finding.prompts)), studies
                ).mean(0)
                for finding in self.findings.findings
            }
        network.train()
        return {id_: self._formatted_auc(id_, found) for id_, found in scores.items()}

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
        if len(set(labels[known])) < 2:  # noqa: PLR2004 - both kinds
            return ""
        return f"{roc_auc_score(labels[known], scores.numpy()[known]):.4f}"
