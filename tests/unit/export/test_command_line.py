import re
import sys
from pathlib import Path

import pytest

from export.__main__ import main
from tests.unit.export.golden import GOLDEN
from triage.model.bundle import hash_file, open_bundle


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> int:
    monkeypatch.setattr(sys, "argv", ["export", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_the_exported_bundle_says_what_it_is(bundle: Path) -> None:
    manifest = open_bundle(bundle).manifest
    digest = hash_file(GOLDEN / "pytorch_model.bin")
    assert (manifest.name, manifest.version) == ("cmr-clip", digest[:12])
    assert manifest.trained
    assert "Research use only" in manifest.intended_use
    assert manifest.provenance["checkpoint_sha256"] == digest
    assert manifest.preprocessing.resize == "none"
    assert manifest.sizes.model_dump() == {
        "frames": 8,
        "height": 32,
        "width": 32,
        "embedding": 24,
        "text_tokens": 64,
    }


def test_the_export_tells_its_progress_on_stderr(exported: Path) -> None:
    assert (exported / "stdout").read_text() == ""
    said = (exported / "stderr").read_text()
    assert "8 frames of 32x32" in said
    assert "120 pieces, cased" in said
    told = re.search(r"cosine of video embeddings (\d\.\d+)", said)
    assert told
    assert float(told[1]) == pytest.approx(1, abs=1e-6)
    assert "torchvision" not in said
    assert "Warning" not in said


def test_what_is_wrong_is_said_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    vocabulary_folder: Path,
) -> None:
    arguments = (
        "--checkpoint",
        tmp_path,
        "--tokenizer",
        vocabulary_folder,
        "--out",
        tmp_path / "b",
    )
    assert run(monkeypatch, "onnx", *arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: checkpoint folder")
    assert "Traceback" not in said.err
    assert list(tmp_path.iterdir()) == []


def test_a_tokenizer_of_another_model_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *map(str, range(117))]
    (tmp_path / "vocab.txt").write_text("\n".join(pieces))
    arguments = ("--checkpoint", GOLDEN, "--tokenizer", tmp_path, "--out", tmp_path / "bundle")
    assert run(monkeypatch, "onnx", *arguments) == 2
    assert "has 121 pieces and the text tower only 120" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["onnx", "untrained", "relevance"])
def test_help_shows_examples(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    assert run(monkeypatch, command, "--help") == 0
    assert f"\n    python -m export {command} --" in capsys.readouterr().out
