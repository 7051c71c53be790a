"""A bundle as the rules know it, without a dependency on how it is opened."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Encode = Callable[[str], NDArray[np.float32]]  #: from a text to its embedding (D,), L2-normalised


class Vocabulary(Protocol):
    """The vocabulary of a tokenizer."""

    def list_terms(self) -> Sequence[str]:
        """Return the whole terms of the vocabulary, in lower case."""

    def count_pieces(self, term: str) -> int:
        """Return into how many pieces a term is split; 0 if it has letters without a token."""


@dataclass(frozen=True)
class LintModel:
    """A bundle as the rules know it; without one, all is empty."""

    views: tuple[str, ...] = ()
    #: the prompts that the bundle is calibrated with, by finding id
    prompts: Mapping[str, Sequence[str]] = field(default_factory=dict)
    vocabulary: Vocabulary | None = None
    encode: Encode | None = None  #: None for an untrained bundle
