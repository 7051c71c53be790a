"""Requests to a STOW-RS receiver, and what its responses state."""

import json
import subprocess
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

from pydicom import Dataset, dcmread

from tests.builders.images import part10
from tests.integration.stow import TOKEN, ListeningStow
from tests.peers import peer

BOUNDARY = "b0undary"
RELATED = f'multipart/related; type="application/dicom"; boundary={BOUNDARY}'


def loaded(dataset: Dataset) -> Dataset:
    """Return a data set as it is read from a file, with its preamble."""
    return dcmread(BytesIO(part10(dataset)))


def body(*parts: bytes, content_type: str = "application/dicom", close: bool = True) -> bytes:
    head = f"--{BOUNDARY}\r\nContent-Type: {content_type}\r\n\r\n".encode()
    message = b"".join(head + part + b"\r\n" for part in parts)
    return message + (f"--{BOUNDARY}--\r\n".encode() if close else b"")


@dataclass
class Curl:
    """What curl sent and received."""

    status: int
    content: bytes
    headers: str = field(repr=False)

    def json(self) -> Any:
        return json.loads(self.content)

    def module(self) -> Dataset:
        return Dataset.from_json(self.json())


def curl(
    receiver: ListeningStow,
    content: bytes,
    *options: str,
    path: str = "/studies",
    token: str = TOKEN,
    content_type: str = RELATED,
) -> Curl:
    command = [peer("curl"), "-s", "-i", "-H", f"Content-Type: {content_type}"]
    command += ["-H", f"Authorization: Bearer {token}", *options]
    command += ["--data-binary", "@-", receiver.url + path]
    said = subprocess.run(command, input=content, capture_output=True, check=False, timeout=120)
    headers, _, told = said.stdout.partition(b"\r\n\r\n")
    while headers.startswith(b"HTTP/1.1 100"):
        headers, _, told = told.partition(b"\r\n\r\n")
    assert headers, said
    return Curl(int(headers.split()[1]), told, headers.decode())


def reasons(module: Dataset) -> list[int]:
    items = [*module.get("FailedSOPSequence", []), *module.get("OtherFailuresSequence", [])]
    return [each.FailureReason for each in items]
