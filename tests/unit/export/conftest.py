import string
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import torch
from numpy.typing import NDArray

from export.checkpoint import load_checkpoint
from export.cmrclip import CmrClip
from tests.shared_folders import fill_once
from tests.unit.export.golden import GOLDEN, HUB_FORM

Session = Callable[..., NDArray[np.float32]]


@pytest.fixture(scope="package", autouse=True)
def one_thread() -> Iterator[None]:
    """Networks this small learn faster without threads that wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def network() -> CmrClip:
    return load_checkpoint(HUB_FORM).network


@pytest.fixture(scope="session")
def vocabulary_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A vocab.txt of 120 pieces, as many as the recorded text tower has."""
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", "Left", "left", "ventricle", "is"]
    pieces += [*string.ascii_lowercase, *string.ascii_uppercase]
    pieces += [f"##{letter}" for letter in (*string.ascii_lowercase, *string.ascii_uppercase)]
    pieces += ["heart", "##ed", "ventr", "dilat", "scar", "LV"]
    assert len(pieces) == len(set(pieces)) == 120
    folder = tmp_path_factory.mktemp("vocabulary")
    (folder / "vocab.txt").write_text("\n".join(pieces) + "\n")
    return folder


@pytest.fixture(scope="session")
def exported(run_folder: Path, vocabulary_folder: Path) -> Path:
    """Return the folder with the bundle and the printed texts of one run of the command."""

    def export(folder: Path) -> None:
        folder.mkdir()
        command = [sys.executable, "-m", "export", "onnx", "--checkpoint", str(GOLDEN)]
        command += ["--tokenizer", str(vocabulary_folder), "--resize", "none"]
        command += ["--out", str(folder / "bundle")]
        with (folder / "stdout").open("w") as out, (folder / "stderr").open("w") as err:
            subprocess.run(command, check=True, stdout=out, stderr=err)

    return fill_once(run_folder / "exported", export)


@pytest.fixture(scope="session")
def bundle(exported: Path) -> Path:
    return exported / "bundle"


@pytest.fixture(scope="session")
def video(bundle: Path) -> Session:
    """video.onnx of the recorded network: `video(frames=..., frame_count=...)`."""
    return _session(bundle / "video.onnx")


@pytest.fixture(scope="session")
def text(bundle: Path) -> Session:
    """text.onnx of the recorded network: `text(input_ids=..., attention_mask=...)`."""
    return _session(bundle / "text.onnx")


def _session(path: Path) -> Session:
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return lambda **inputs: session.run(["embedding"], inputs)[0]
