import json
import string
from pathlib import Path

import pytest
from tokenizers import Tokenizer
from transformers import BertTokenizer

from export.tokenizer import load_tokenizer
from triage.domain.errors import ConfigurationError

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
LOWER = [*SPECIAL, *string.ascii_lowercase, *(f"##{x}" for x in string.ascii_lowercase), "left"]
CASED = [*LOWER, *string.ascii_uppercase, *(f"##{x}" for x in string.ascii_uppercase), "Left", "."]
SENTENCES = [
    "Left ventricle is dilated.",
    "LV EF 35 % (severely reduced); see note.",
    "Café-au-lait, naïve,\ttabs and  spaces\n",
    "left [SEP] LEFT",
    "中文",
    "",
]


def folder_with(
    folder: Path, vocabulary: list[str], config: dict[str, object] | None = None
) -> Path:
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    if config is not None:
        (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


def load(folder: Path, positions: int = 512) -> Tokenizer:
    return load_tokenizer(folder, rows=500, positions=positions)


def refusal(folder: Path, rows: int = 500) -> str:
    with pytest.raises(ConfigurationError) as refused:
        load_tokenizer(folder, rows=rows, positions=512)
    return str(refused.value)


@pytest.mark.parametrize("sentence", SENTENCES)
@pytest.mark.parametrize("lower_case", [True, False])
def test_tokens_are_those_of_bert(tmp_path: Path, sentence: str, *, lower_case: bool) -> None:
    folder = folder_with(tmp_path, CASED, {"do_lower_case": lower_case})
    judge = BertTokenizer.from_pretrained(folder, do_lower_case=lower_case)
    assert load(folder).encode(sentence).ids == judge(sentence)["input_ids"]


def test_the_configuration_decides_the_case_rule(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, CASED, {"do_lower_case": True})
    assert load(folder).encode("Left").tokens == ["[CLS]", "left", "[SEP]"]


def test_a_vocabulary_with_capitals_is_cased(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, CASED)
    assert load(folder).encode("Left").tokens == ["[CLS]", "Left", "[SEP]"]


def test_a_vocabulary_without_capitals_is_lower_case(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, LOWER)
    assert load(folder).encode("Left").tokens == ["[CLS]", "left", "[SEP]"]


@pytest.mark.parametrize("lower_case", [True, False])
def test_vocabulary_and_tokenizer_file_give_the_same_tokenizer(
    tmp_path: Path, *, lower_case: bool
) -> None:
    (tmp_path / "slow").mkdir()
    (tmp_path / "fast").mkdir()
    slow = load(folder_with(tmp_path / "slow", CASED, {"do_lower_case": lower_case}))
    BertTokenizer.from_pretrained(tmp_path / "slow", do_lower_case=lower_case).save_pretrained(
        tmp_path / "fast"
    )
    (tmp_path / "fast" / "tokenizer_config.json").unlink()
    assert not (tmp_path / "fast" / "vocab.txt").exists()
    assert load(tmp_path / "fast").to_str() == slow.to_str()


def test_lines_may_end_as_on_windows(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_bytes("\r\n".join(CASED).encode())
    assert load(tmp_path).encode("Left").tokens == ["[CLS]", "Left", "[SEP]"]


def test_long_texts_are_cut_to_the_positions_of_the_text_tower(tmp_path: Path) -> None:
    tokens = load(folder_with(tmp_path, CASED), positions=6).encode("left " * 50).tokens
    assert tokens == ["[CLS]", "left", "left", "left", "left", "[SEP]"]


def test_texts_of_a_batch_are_not_padded(tmp_path: Path) -> None:
    batch = load(folder_with(tmp_path, CASED)).encode_batch(["left", "left left left"])
    assert [len(tokens.ids) for tokens in batch] == [3, 5]


def test_a_vocabulary_as_large_as_the_table_fits(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, CASED)
    tokenizer = load_tokenizer(folder, rows=len(CASED), positions=512)
    assert tokenizer.get_vocab_size() == len(CASED)


def test_a_vocabulary_larger_than_the_table_is_refused(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, CASED)
    assert f"has {len(CASED)} pieces" in refusal(folder, rows=len(CASED) - 1)


def test_a_folder_without_a_vocabulary_is_refused(tmp_path: Path) -> None:
    assert "has neither vocab.txt nor tokenizer.json" in refusal(tmp_path)


def test_a_vocabulary_without_the_special_pieces_is_refused(tmp_path: Path) -> None:
    assert "it lacks [CLS]" in refusal(folder_with(tmp_path, ["[UNK]", "[SEP]", "a"]))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "is not JSON"),
        ("[]", "holds no JSON object"),
        ('{"model": {"type": "BPE", "vocab": {}}}', "holds no WordPiece vocabulary"),
    ],
)
def test_a_tokenizer_file_of_another_kind_is_refused(
    tmp_path: Path, content: str, reason: str
) -> None:
    (tmp_path / "tokenizer.json").write_text(content)
    assert reason in refusal(tmp_path)
