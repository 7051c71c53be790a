"""Refuse ONNX graphs whose weights lie outside their file.

ONNX lets a tensor name another file (`external_data`, onnx.proto 1.16). ONNX Runtime would map that
file, which no manifest lists and no digest covers. The worker has no `onnx` package, so this module
walks the few messages of the protobuf encoding that can hold tensors.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from triage.domain.errors import ConfigurationError

#: The messages that can hold tensors: for each field number, the message in that field.
MESSAGES: Mapping[str, Mapping[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {},
}
EXTERNAL_DATA, DATA_LOCATION, EXTERNAL = 13, 14, 1  #: fields of a tensor, and the location's value
VARINT, BITS_64, BYTES, BITS_32 = 0, 1, 2, 5  #: wire types
CONTINUED = 0x80  #: bit of a byte of a varint that another byte follows
VARINT_BYTES_MAX = 10


def require_own_weights(path: Path) -> None:
    """Raise ConfigurationError if a graph is no ONNX, or has tensors in other files."""
    try:
        content = np.memmap(path, np.uint8, "r").data
        has_external = any(_is_external(tensor) for tensor in _find_tensors(content))
    except (ValueError, IndexError):
        raise ConfigurationError(f"{path} is no ONNX graph") from None
    if has_external:
        raise ConfigurationError(
            f"{path} has weights in another file (external data), which its digest does not "
            "cover: export it with all weights in one file"
        )


def _find_tensors(content: memoryview) -> Iterator[memoryview]:
    waiting = [("model", content)]
    while waiting:
        kind, message = waiting.pop()
        if kind == "tensor":
            yield message
            continue
        within = MESSAGES[kind]
        for number, value in _read_fields(message):
            if number in within and isinstance(value, memoryview):
                waiting.append((within[number], value))


def _is_external(tensor: memoryview) -> bool:
    return any(
        number == EXTERNAL_DATA or (number == DATA_LOCATION and value == EXTERNAL)
        for number, value in _read_fields(tensor)
    )


def _read_fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield number and value of each field; raises ValueError and IndexError for other bytes."""
    at = 0
    while at < len(message):
        key, at = _read_varint(message, at)
        wire = key & 7
        if wire == VARINT:
            value, at = _read_varint(message, at)
            yield key >> 3, value
            continue
        length = {BITS_64: 8, BITS_32: 4}.get(wire, 0)
        if wire == BYTES:
            length, at = _read_varint(message, at)
        elif not length:
            raise ValueError("a group or an unknown wire type")
        if at + length > len(message):
            raise ValueError("a field that ends beyond its message")
        yield key >> 3, message[at : at + length]
        at += length


def _read_varint(message: memoryview, at: int) -> tuple[int, int]:
    """Return a number of up to 64 bits, and the offset behind it."""
    value = 0
    for place in range(VARINT_BYTES_MAX):
        byte = message[at + place]
        value |= (byte & 0x7F) << (7 * place)
        if not byte & CONTINUED:
            return value, at + place + 1
    raise ValueError("a number of more than 64 bits")
