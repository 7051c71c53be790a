"""Bundles with graphs that are no model: they loop, allocate, or have weights elsewhere."""

from pathlib import Path

import onnx
from onnx import TensorProto, helper

from triage.model.bundle import TEXT, Manifest, hash_file, write_manifest


def write_graph(bundle: Path, nodes: list[onnx.NodeProto], *weights: onnx.TensorProto) -> None:
    """Replace the text graph of a bundle, with the inputs and the output of a text tower."""
    tokens = [
        helper.make_tensor_value_info(name, TensorProto.INT64, [1, None])
        for name in ("input_ids", "attention_mask")
    ]
    embedding = helper.make_tensor_value_info("embedding", TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "text", tokens, [embedding], list(weights))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (bundle / TEXT).write_bytes(model.SerializeToString())
    list_again(bundle)


def list_again(bundle: Path) -> None:
    """Write the manifest of a bundle with the digest that its text graph has now."""
    manifest = Manifest.model_validate_json((bundle / "manifest.json").read_bytes())
    files = {**manifest.files, TEXT: hash_file(bundle / TEXT)}
    write_manifest(bundle, manifest.model_copy(update={"files": files}))


def make_endless_loop() -> list[onnx.NodeProto]:
    """Return nodes that count the tokens' first number up for ever."""
    kept = helper.make_tensor_value_info("kept", TensorProto.BOOL, [])
    go_on = helper.make_tensor_value_info("go_on", TensorProto.BOOL, [])
    turn = helper.make_tensor_value_info("turn", TensorProto.INT64, [])
    before = helper.make_tensor_value_info("before", TensorProto.INT64, None)
    after = helper.make_tensor_value_info("after", TensorProto.INT64, None)
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go_on"], ["kept"]),
            helper.make_node("Add", ["before", "turn"], ["after"]),
        ],
        "body",
        [turn, go_on, before],
        [kept, after],
    )
    return [
        helper.make_node("Loop", ["", "", "input_ids"], ["counted"], body=body),
        helper.make_node("Cast", ["counted"], ["embedding"], to=TensorProto.FLOAT),
    ]


def make_allocation(values: int) -> list[onnx.NodeProto]:
    """Return nodes that fill a tensor of as many 4-byte values for each token."""
    size = helper.make_tensor("size", TensorProto.INT64, [1], [values])
    return [
        helper.make_node("Constant", [], ["most"], value=size),
        helper.make_node("Size", ["input_ids"], ["length"]),
        helper.make_node("Mul", ["most", "length"], ["shape"]),
        helper.make_node("ConstantOfShape", ["shape"], ["full"]),
        helper.make_node("Add", ["full", "full"], ["embedding"]),
    ]
