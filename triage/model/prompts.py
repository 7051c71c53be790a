"""The embeddings of the configured prompts: computed once per findings file and bundle.

Rule: a cache file is named after the digests of both, so it can never be stale; one that does
not read is computed again.
"""

import zipfile
from pathlib import Path
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from triage.domain.finding import FindingSet
from triage.model.bundle import Bundle
from triage.ports.encoder import Embeddings, Encoder

PromptEmbeddings = dict[str, NDArray[np.float32]]  #: finding id -> (prompts, D)


def embed_prompts(
    findings: FindingSet, bundle: Bundle, encoder: Encoder, cache: Path | None
) -> PromptEmbeddings:
    """Return the prompts' embeddings by finding, from the folder `cache` if they are there.

    Without a cache they are computed and not kept.
    """
    if cache is None:
        return _computed(findings, encoder)
    path = cache / f"prompts-{bundle.digest[:16]}-{findings.digest[:16]}.npz"
    try:
        with path.open("rb") as file, np.load(file) as stored:
            asked = [finding.id for finding in findings.findings if finding.prompts]
            return {id_: stored[id_] for id_ in asked}
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile):
        pass
    embeddings = _computed(findings, encoder)
    _write(embeddings, path)
    return embeddings


def mean_cosines(prompts: NDArray[np.float32], embeddings: Embeddings) -> NDArray[np.float64]:
    """Return the mean cosine to prompts (p, D) of embeddings (n, D), (n,) (CMR-CLIP)."""
    return np.asarray((embeddings @ prompts.T).mean(axis=1), np.float64)


def _computed(findings: FindingSet, encoder: Encoder) -> PromptEmbeddings:
    return {
        finding.id: np.stack([encoder.encode_text(prompt) for prompt in finding.prompts])
        for finding in findings.findings
        if finding.prompts
    }


def _write(embeddings: PromptEmbeddings, path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    aside = path.with_name(f".{uuid4().hex}.npz")
    np.savez(aside, allow_pickle=False, **embeddings)
    aside.replace(path)
