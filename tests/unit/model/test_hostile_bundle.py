"""A bundle from elsewhere: files, links, weights and graphs that a manifest does not bound."""

import shutil
from pathlib import Path

import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from tests.builders.bent import lied
from tests.builders.graphs import list_again, write_graph
from triage.config import ModelSettings
from triage.domain.errors import ConfigurationError
from triage.model.bundle import TEXT, VIDEO, open_bundle
from triage.model.external_data import require_own_weights

UNTRAINED = ModelSettings().bundle
IDENTITY = [helper.make_node("Identity", ["weights"], ["embedding"])]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(UNTRAINED, tmp_path / "bundle"))


def weights_elsewhere() -> onnx.TensorProto:
    tensor = TensorProto(name="weights", data_type=TensorProto.FLOAT, dims=[4])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../../etc/passwd")
    return tensor


@pytest.mark.parametrize("name", ["weights.bin", ".hidden", "video.onnx.data", "folder"])
def test_a_file_that_the_manifest_does_not_list_is_refused(copy: Path, name: str) -> None:
    (copy / name).mkdir() if name == "folder" else (copy / name).write_bytes(b"x")
    with pytest.raises(ConfigurationError, match=f"{name} is not in its manifest"):
        open_bundle(copy)


def test_a_link_in_a_bundle_is_refused(copy: Path, tmp_path: Path) -> None:
    (copy / TEXT).rename(tmp_path / TEXT)
    (copy / TEXT).symlink_to(tmp_path / TEXT)
    with pytest.raises(ConfigurationError, match=f"{TEXT} is a link"):
        open_bundle(copy)


def test_weights_in_another_file_are_refused(copy: Path) -> None:
    write_graph(copy, IDENTITY, weights_elsewhere())
    with pytest.raises(ConfigurationError, match="weights in another file"):
        open_bundle(copy)


def test_weights_in_another_file_are_found_in_every_place(copy: Path) -> None:
    out = helper.make_tensor_value_info("x", TensorProto.FLOAT, [4])
    inner = helper.make_graph(
        [helper.make_node("Constant", [], ["x"], value=weights_elsewhere())], "inner", [], [out]
    )
    branch = helper.make_node("If", ["yes"], ["embedding"], then_branch=inner, else_branch=inner)
    sparse = onnx.SparseTensorProto(values=weights_elsewhere())
    for nodes in (
        [helper.make_node("Constant", [], ["embedding"], value=weights_elsewhere())],
        [helper.make_node("Constant", [], ["embedding"], sparse_value=sparse)],
        [branch],
    ):
        write_graph(copy, nodes)
        with pytest.raises(ConfigurationError, match="weights in another file"):
            open_bundle(copy)


@pytest.mark.parametrize("content", [b"", b"no graph", b"\x0b", b"\xff" * 20])
def test_a_file_that_is_no_graph_is_refused(copy: Path, content: bytes) -> None:
    (copy / TEXT).write_bytes(content)
    list_again(copy)
    with pytest.raises(ConfigurationError, match=f"{TEXT} is no ONNX graph"):
        open_bundle(copy)


def test_the_graphs_of_this_release_have_their_own_weights() -> None:
    for bundle in UNTRAINED.parent.iterdir():
        for name in (VIDEO, TEXT):
            require_own_weights(bundle / name)


SMALL = helper.make_model(
    helper.make_graph(IDENTITY, "small", [], [], [weights_elsewhere()])
).SerializeToString()


@settings(max_examples=300)
@given(content=lied(SMALL) | st.binary(max_size=60))
def test_any_bytes_are_a_graph_or_refused(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.onnx"
    path.write_bytes(content)
    try:
        require_own_weights(path)
    except ConfigurationError:
        return
    model = onnx.ModelProto()
    try:
        model.ParseFromString(content)
    except Exception:  # noqa: BLE001 - DecodeError of either implementation of protobuf
        return
    tensors = [*model.graph.initializer]
    assert not [t for t in tensors if t.data_location == TensorProto.EXTERNAL or t.external_data]
