"""The embeddings of the configured prompts, computed once per findings file and bundle.

A cache file is named by the digests of both, so it is never outdated. A cache file that cannot be
read is computed again.
"""

import zipfile
from pathlib import Path
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from triage.domain.finding import FindingSet
from triage.model.bundle import Bundle
from triage.ports.encoder import Embeddings, Encoder

PromptEmbeddings = dict[str, NDArray[np.float32]]  #: finding id to (prompts, D)


def embed_prompts(
    findings: FindingSet, bundle: Bundle, encoder: Encoder, cache: Path | None
) -> PromptEmbeddings:
    """Return the prompts' embeddings by finding id, from the folder `cache` if available.

    If `cache` is None, they are computed and not stored.
    """
    if cache is None:
        return _encode_prompts(findings, encoder)
    path = cache / f"prompts-{bundle.digest[:16]}-{findings.digest[:16]}.npz"
    try:
        with path.open("rb") as file, np.load(file) as stored:
            ids = [finding.id for finding in findings.findings if finding.prompts]
            return {id_: stored[id_] for id_ in ids}
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile):
        pass
    embeddings = _encode_prompts(findings, encoder)
    _write_cache(embeddings, path)
    return embeddings


def mean_cosines(prompts: NDArray[np.float32], embeddings: Embeddings) -> NDArray[np.float64]:
    """Return the mean cosine (n,) of embeddings (n, D) to prompts (p, D), as in CMR-CLIP."""
    return np.asarray((embeddings @ prompts.T).mean(axis=1), np.float64)


def _encode_prompts(findings: FindingSet, encoder: Encoder) -> PromptEmbeddings:
    return {
        finding.id: np.stack([encoder.encode_text(prompt) for prompt in finding.prompts])
        for finding in findings.findings
        if finding.prompts
    }


def _write_cache(embeddings: PromptEmbeddings, path: Path) -> None:
    """Write the cache file under a temporary name and rename it, so that readers see it whole."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f".{uuid4().hex}.npz")
    np.savez(temporary, allow_pickle=False, **embeddings)
    temporary.replace(path)
