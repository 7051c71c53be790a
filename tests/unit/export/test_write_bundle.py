import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from export import bundle as writing
from export.bundle import AGREEMENT, BundleModel, Label, agreement, published_form, write_bundle
from export.cmrclip import CmrClip
from export.tokenizer import load_tokenizer
from export.untrained import seeded_network
from triage.domain.errors import ConfigurationError
from triage.model.bundle import open_bundle


@pytest.fixture
def model(network: CmrClip, vocabulary_folder: Path) -> BundleModel:
    return BundleModel(
        network=network,
        tokenizer=load_tokenizer(vocabulary_folder, rows=120, positions=64),
        form=published_form(network.sizes.video, "none"),
        label=Label("hearts", "1", trained=False, intended_use="tests", provenance={}),
    )


@pytest.fixture
def write(
    model: BundleModel, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., list[str]]:
    """Write a bundle with graphs that were exported before; returns what was said."""

    def write(out: Path, *, force: bool = False, model: BundleModel = model) -> list[str]:
        said: list[str] = []
        write_bundle(model, out, force=force, say=said.append)
        return said

    monkeypatch.setattr(
        writing, "write_video_graph", lambda *a: shutil.copy(bundle / "video.onnx", a[-1])
    )
    monkeypatch.setattr(
        writing, "write_text_graph", lambda *a: shutil.copy(bundle / "text.onnx", a[-1])
    )
    return write


def test_the_worker_opens_what_was_written(write: Callable[..., list[str]], tmp_path: Path) -> None:
    said = write(tmp_path / "deep" / "bundle")
    assert open_bundle(tmp_path / "deep" / "bundle").manifest.name == "hearts"
    assert any("cosine" in line for line in said)


def test_an_empty_folder_is_filled(write: Callable[..., list[str]], tmp_path: Path) -> None:
    (tmp_path / "bundle").mkdir()
    write(tmp_path / "bundle")
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_a_bundle_is_replaced_by_force_alone(
    write: Callable[..., list[str]], model: BundleModel, tmp_path: Path
) -> None:
    out = tmp_path / "bundle"
    write(out)
    (out / "calibration.json").write_text("{}")
    with pytest.raises(ConfigurationError, match="--force"):
        write(out)
    other = replace(model, label=replace(model.label, version="2"))
    write(out, force=True, model=other)
    assert open_bundle(out).manifest.version == "2"
    assert not (out / "calibration.json").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_force_replaces_nothing_but_a_bundle(
    write: Callable[..., list[str]], tmp_path: Path
) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ConfigurationError, match="holds no bundle"):
        write(tmp_path, force=True)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_a_file_is_no_place_for_a_bundle(write: Callable[..., list[str]], tmp_path: Path) -> None:
    (tmp_path / "bundle").write_text("")
    with pytest.raises(ConfigurationError, match="is a file"):
        write(tmp_path / "bundle", force=True)


def test_an_interrupted_export_leaves_nothing(
    write: Callable[..., list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(writing, "write_text_graph", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == []


def test_graphs_of_another_network_do_not_agree(model: BundleModel, bundle: Path) -> None:
    other = replace(model, network=seeded_network(model.network.sizes, seed=1))
    assert min(agreement(model, bundle)) >= AGREEMENT
    assert max(agreement(other, bundle)) < 0.9


@pytest.mark.parametrize("cosines", [(0.99, 1.0), (1.0, 0.99), (math.nan, 1.0), (1.0, math.nan)])
def test_a_bundle_that_does_not_agree_is_not_written(
    write: Callable[..., list[str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    cosines: tuple[float, float],
) -> None:
    monkeypatch.setattr(writing, "agreement", lambda *_: cosines)
    with pytest.raises(ConfigurationError, match="do not agree"):
        write(tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == []


def test_a_label_that_no_manifest_takes_is_refused(
    write: Callable[..., list[str]], model: BundleModel, tmp_path: Path
) -> None:
    nameless = replace(model, label=replace(model.label, name=""))
    with pytest.raises(ConfigurationError, match="name"):
        write(tmp_path / "bundle", model=nameless)
