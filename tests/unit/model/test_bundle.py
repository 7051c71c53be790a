import json
import shutil
from pathlib import Path

import pytest

from triage.config import ModelSettings
from triage.domain.errors import ConfigurationError
from triage.model.bundle import MANIFEST, Manifest, open_bundle, write_manifest

UNTRAINED = ModelSettings().bundle


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(UNTRAINED, tmp_path / "bundle"))


def change(bundle: Path, **values: object) -> None:
    manifest = json.loads((bundle / MANIFEST).read_text())
    (bundle / MANIFEST).write_text(json.dumps(manifest | values, indent=1))


def test_the_shipped_bundle_is_marked_untrained() -> None:
    manifest = open_bundle(UNTRAINED).manifest
    assert manifest.trained is False
    assert "research use only" in manifest.intended_use.lower()


def test_the_shipped_bundle_is_small() -> None:
    assert sum(path.stat().st_size for path in UNTRAINED.iterdir()) < 4_000_000


def test_a_changed_file_is_refused(copy: Path) -> None:
    with (copy / "text.onnx").open("ab") as file:
        file.write(b"x")
    with pytest.raises(ConfigurationError, match="text.onnx differs from its manifest"):
        open_bundle(copy)


def test_a_missing_file_is_refused(copy: Path) -> None:
    (copy / "tokenizer.json").unlink()
    with pytest.raises(ConfigurationError, match="tokenizer.json is missing"):
        open_bundle(copy)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"schema_version": 2}, "line 2: schema_version"),
        ({"files": {}}, "files lacks text.onnx, tokenizer.json, video.onnx"),
        ({"layout": [{"view": "a", "kind": "cine"}]}, "a cine slot needs `phases`"),
        (
            {"layout": [{"view": "a", "kind": "single", "repeat_as": "b"}]},
            "which is not in the layout",
        ),
        ({"layout": [{"view": "a", "kind": "stack"}] * 2}, "occurs twice"),
        ({"layout": [{"view": "a", "kind": "single", "slices": 3}]}, "only a stack slot"),
        ({"layout": [{"view": "a", "kind": "stack", "repeat_as": "a"}]}, "only a single slot"),
        (
            {"preprocessing": {"crop": "heart_square", "version": 2}},
            "heart_square needs `field_mm`",
        ),
        ({"preprocessing": {"version": 2}}, "version 2 does not support the crop centre_square"),
        ({"preprocessing": {"missing": "black"}}, "a fixed number of frames"),
        ({"trained": None}, "trained"),
        ({"surprise": 1}, "surprise: is no known field"),
    ],
)
def test_an_invalid_manifest_is_refused_with_its_line(
    copy: Path, values: dict[str, object], message: str
) -> None:
    change(copy, **values)
    with pytest.raises(ConfigurationError, match="manifest.json, line") as error:
        open_bundle(copy)
    assert message in str(error.value)


def test_a_file_outside_the_folder_is_refused(copy: Path) -> None:
    files = json.loads((copy / MANIFEST).read_text())["files"]
    change(copy, files=files | {"../secret": "0" * 64})
    with pytest.raises(ConfigurationError, match="plain file names"):
        open_bundle(copy)


def test_a_manifest_is_unchanged_after_writing_and_reading(copy: Path) -> None:
    before = open_bundle(copy)
    write_manifest(copy, before.manifest)
    assert open_bundle(copy).manifest == before.manifest


def test_the_layout_is_the_published_one_by_default() -> None:
    views = [slot.view for slot in Manifest.model_fields["layout"].default]
    assert views == ["cine_lax", "cine_sa", "lge_sa", "lge_lax", "lge_2ch", "lge_3ch"]
