"""The vocabulary of a bundle's tokenizer: which terms of a prompt it has as a whole."""

from functools import cached_property

from tokenizers import Tokenizer

from triage.model.bundle import TOKENIZER, Bundle

TERM_MIN = 3  #: letters of a whole term; shorter ones are letters and parts


class TokenizerVocabulary:
    """The vocabulary of a bundle; implements `Vocabulary` of the findings lint."""

    def __init__(self, bundle: Bundle) -> None:
        self._tokenizer = Tokenizer.from_file(str(bundle.path / TOKENIZER))
        self._unknown = getattr(self._tokenizer.model, "unk_token", None)

    def list_terms(self) -> list[str]:
        """Return the whole terms of the vocabulary, in lower case."""
        return self._terms

    @cached_property
    def _terms(self) -> list[str]:
        vocabulary = self._tokenizer.get_vocab(with_added_tokens=False)
        return sorted(
            {term.lower() for term in vocabulary if term.isalpha() and len(term) >= TERM_MIN}
        )

    def count_pieces(self, term: str) -> int:
        """Return into how many pieces a term is split; 0 if it has letters without a token."""
        pieces = self._tokenizer.encode(term, add_special_tokens=False).tokens
        return 0 if self._unknown in pieces else len(pieces)
