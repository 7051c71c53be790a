"""The tokenizer of a bundle: BERT's WordPiece, written for the `tokenizers` package.

The tokenizer is always built from two facts, the vocabulary and the case rule. Therefore vocab.txt
and tokenizer.json of one model give the same file, and no padding or truncation of a training run
is inherited.
"""

import json
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from triage.domain.errors import ConfigurationError
from triage.yaml_models import read_text

VOCABULARY = "vocab.txt"
TOKENIZER = "tokenizer.json"
CONFIG = "tokenizer_config.json"

#: BERT cannot do without these.
UNKNOWN = "[UNK]"
REQUIRED = (UNKNOWN, "[CLS]", "[SEP]")
SPECIAL = ("[PAD]", *REQUIRED, "[MASK]")

Vocabulary = dict[str, int]  #: piece -> row of the embedding table


def load_tokenizer(folder: Path, rows: int, positions: int) -> Tokenizer:
    """Build the tokenizer of `folder` for a text tower of `rows` pieces and `positions` tokens.

    The folder holds vocab.txt or tokenizer.json. `do_lower_case` in its tokenizer_config.json
    decides the case rule; without it the normalizer in tokenizer.json does, and without that a
    vocabulary with capital letters is cased. Raises ConfigurationError.
    """
    fast = _json(folder / TOKENIZER)
    vocabulary = _vocabulary(folder, fast)
    last = max(vocabulary.values())
    if last >= rows:
        raise ConfigurationError(
            f"tokenizer {folder} has {last + 1} pieces and the text tower only {rows}: it belongs"
            " to another model"
        )
    return bert_tokenizer(vocabulary, positions, lower_case=_lower_case(folder, fast, vocabulary))


def bert_tokenizer(vocabulary: Vocabulary, positions: int, *, lower_case: bool) -> Tokenizer:
    """Return BERT's tokenizer: `[CLS] text [SEP]`, cut to `positions` tokens, never padded."""
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lower_case)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        special_tokens=[(piece, vocabulary[piece]) for piece in ("[CLS]", "[SEP]")],
    )
    tokenizer.add_special_tokens([piece for piece in SPECIAL if piece in vocabulary])
    tokenizer.enable_truncation(max_length=positions)
    return tokenizer


def _vocabulary(folder: Path, fast: dict[str, Any]) -> Vocabulary:
    if (folder / VOCABULARY).is_file():
        lines = read_text(folder / VOCABULARY).removesuffix("\n").split("\n")
        vocabulary = {piece: row for row, piece in enumerate(lines)}
    elif fast:
        vocabulary = _wordpieces(fast, folder / TOKENIZER)
    else:
        raise ConfigurationError(f"tokenizer {folder} has neither {VOCABULARY} nor {TOKENIZER}")
    missing = [piece for piece in REQUIRED if piece not in vocabulary]
    if missing:
        raise ConfigurationError(
            f"tokenizer {folder} is none of BERT's: it lacks {', '.join(missing)}"
        )
    return vocabulary


def _wordpieces(fast: dict[str, Any], file: Path) -> Vocabulary:
    """Return the vocabulary of a tokenizer.json."""
    model = fast.get("model") or {}
    pieces = model.get("vocab")
    if model.get("type", "WordPiece") != "WordPiece" or not isinstance(pieces, dict):
        raise ConfigurationError(f"{file} holds no WordPiece vocabulary, as BERT's do")
    return pieces


def _lower_case(folder: Path, fast: dict[str, Any], vocabulary: Vocabulary) -> bool:
    stated = _json(folder / CONFIG).get("do_lower_case")
    normalizer = fast.get("normalizer") or {}
    for rule in (stated, normalizer.get("lowercase")):
        if isinstance(rule, bool):
            return rule
    return not any(piece != piece.lower() for piece in vocabulary if piece not in SPECIAL)


def _json(file: Path) -> dict[str, Any]:
    """Return the object in `file`, empty where there is no such file."""
    if not file.is_file():
        return {}
    try:
        content = json.loads(read_text(file))
    except ValueError as error:
        raise ConfigurationError(f"{file} is not JSON: {error}") from None
    if not isinstance(content, dict):
        raise ConfigurationError(f"{file} holds no JSON object")
    return content
