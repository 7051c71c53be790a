"""Answers over MLLP, HL7 messages in files, and DICOM headers with malformed content."""

import socket
from pathlib import Path

import pytest
from hypothesis import strategies as st

from tests.builders.bent import lied, part10_files
from tests.builders.readings import oru
from tests.parser_fuzzing import fuzz_parser
from triage.cases.readings.deidentify import deidentify
from triage.cases.readings.oru import read_oru
from triage.cases.readings.segments import is_hl7
from triage.destinations.mllp import MllpDestination, MllpDestinationSettings, judge_answer
from triage.dicom.fast_header import read_file_identity
from triage.dicom.header import read_identity
from triage.domain.errors import DamagedInstance, DeliveryFailed

ID = "1.2.3"
ACKNOWLEDGEMENTS = [
    f"\x0bMSH|^~\\&|RIS|H|T|H|20260101||ACK^R01^ACK|A1|P|2.5.1\rMSA|{code}|{ID}|text\rERR|||207^x|E\r"
    "\x1c\r"
    for code in ("AA", "CA", "AE", "CE", "AR", "CR", "", "ZZ")
]
SIGNS = [b"", b"\x06", b"\x15", b"\x0b", b"\x1c\r", b"MSA" * 300, b"MSH|" * 5000, b"\r" * 20_000]


@st.composite
def answers(draw: st.DrawFn) -> bytes:
    """Return the bytes that a peer sends after a message."""
    whole = draw(st.sampled_from(ACKNOWLEDGEMENTS)).encode()
    return draw(lied(whole) | st.sampled_from(SIGNS) | st.binary(max_size=100))


def test_malformed_acknowledgements(fuzz_seconds: float) -> None:
    settings = MllpDestinationSettings(
        name="ris", kind="mllp", host="localhost", port=1, timeout_s=0.01
    )
    destination = MllpDestination("", settings)

    def receive(answer: bytes) -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            theirs.settimeout(1)
            theirs.send(answer)
            judge_answer(destination._receive(ours), ID, "ris")

    fuzz_parser(answers(), receive, (DeliveryFailed,), fuzz_seconds)


class RefusedError(Exception):
    """The file is no HL7, which the caller asks first."""


def test_malformed_messages_in_files(
    tmp_path_factory: pytest.TempPathFactory, fuzz_seconds: float
) -> None:
    path: Path = tmp_path_factory.mktemp("hl7") / "messages.hl7"
    valid = (oru() + oru(["IMPRESSION:", "A \\T\\ B \\X0D\\ \\Z9\\"], value_type="FT")).encode()

    def read(content: bytes) -> None:
        path.write_bytes(content)
        if not is_hl7(path):
            raise RefusedError
        for _, report in read_oru(path):
            deidentify(report.impression or "", report.known)

    fuzz_parser(lied(valid) | lied(valid[:200]), read, (RefusedError,), fuzz_seconds)


def test_malformed_headers(tmp_path_factory: pytest.TempPathFactory, fuzz_seconds: float) -> None:
    path: Path = tmp_path_factory.mktemp("headers") / "one.dcm"

    def read(content: bytes) -> None:
        path.write_bytes(content)
        read_file_identity(path)
        read_identity(content)

    fuzz_parser(part10_files(), read, (DamagedInstance,), fuzz_seconds)
