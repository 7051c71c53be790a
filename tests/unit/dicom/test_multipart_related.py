from email.message import EmailMessage
from email.policy import HTTP

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triage.dicom.multipart_related import (
    HEADERS_MAX,
    PREAMBLE_MAX,
    Event,
    MultipartError,
    MultipartParser,
    PartData,
    PartEnded,
    PartStarted,
)

BOUNDARY = "0f3c-a"


def message(*contents: bytes, boundary: str = BOUNDARY) -> bytes:
    parts = [
        f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode() + content + b"\r\n"
        for content in contents
    ]
    return b"".join(parts) + f"--{boundary}--\r\n".encode()


def chunks(content: bytes, sizes: list[int]) -> list[bytes]:
    """Cut content into pieces of these sizes, in turn."""
    cut, at, turn = [], 0, 0
    while at < len(content):
        size = sizes[turn % len(sizes)]
        cut.append(content[at : at + size])
        at, turn = at + size, turn + 1
    return cut


def events(pieces: list[bytes], boundary: str = BOUNDARY) -> list[Event]:
    multipart = MultipartParser(boundary)
    found = [event for piece in pieces for event in multipart.feed(piece)]
    multipart.end()
    return found


def contents(found: list[Event]) -> list[bytes]:
    parts: list[bytes] = []
    for event in found:
        if isinstance(event, PartStarted):
            parts.append(b"")
        elif isinstance(event, PartData):
            parts[-1] += event.content
    assert sum(isinstance(event, PartEnded) for event in found) == len(parts)
    return parts


#: Bytes that often resemble a boundary.
NEARLY = st.lists(
    st.sampled_from(
        [b"\r", b"\n", b"\r\n", b"--", b"-", b"--0f3c", b"\r\n--0f3c-", b"0f3c-a", b"x"]
    )
).map(b"".join)
CONTENT = st.one_of(st.binary(max_size=200), NEARLY).filter(
    lambda content: f"\r\n--{BOUNDARY}".encode() not in b"\r\n" + content + b"\r\n--"
)
SIZES = st.lists(st.integers(1, 40), min_size=1, max_size=5)


@given(st.lists(CONTENT, min_size=1, max_size=4), SIZES, st.binary(max_size=30))
def test_the_parts_do_not_depend_on_the_chunks(
    sent: list[bytes], sizes: list[int], preamble: bytes
) -> None:
    whole = preamble.replace(b"--", b"") + b"\r\n" + message(*sent) + b"epilogue"
    assert contents(events(chunks(whole, sizes))) == sent


@given(st.binary(max_size=300), SIZES)
def test_any_bytes_are_parsed_or_rejected(content: bytes, sizes: list[int]) -> None:
    for whole in (content, message(b"x") + content, message(b"y")[:40] + content):
        try:
            events(chunks(whole, sizes))
        except MultipartError:
            continue


@given(st.data())
def test_a_truncated_message_is_rejected_at_its_end(data: st.DataObject) -> None:
    whole = message(b"first", b"second")
    length = data.draw(st.integers(0, len(whole) - len(b"--\r\n") - 1))
    multipart = MultipartParser(BOUNDARY)
    ended = sum(isinstance(event, PartEnded) for event in multipart.feed(whole[:length]))
    with pytest.raises(MultipartError, match="closing boundary"):
        multipart.end()
    assert ended <= whole[:length].count(b"\r\n--" + BOUNDARY.encode())


def test_a_message_of_the_standard_library_is_parsed() -> None:
    written = EmailMessage(HTTP)
    written.make_related()
    for content in (b"\x00one", b"two\r\n"):
        part = EmailMessage(HTTP)
        part.set_content(content, "application", "dicom", cte="binary")
        written.attach(part)
    written.set_boundary(BOUNDARY)
    _, _, body = written.as_bytes().partition(b"\r\n\r\n")
    assert [part.rstrip(b"\r\n") for part in contents(events([body]))] == [b"\x00one", b"two"]


def test_headers_are_parsed_in_any_case_and_over_several_lines() -> None:
    head = b"--0f3c-a \t\r\nCONTENT-type: application/dicom;\r\n  transfer-syntax=1.2\r\n\r\n"
    began, *_ = events([head + b"x\r\n--0f3c-a--"])
    assert began == PartStarted({"content-type": "application/dicom;  transfer-syntax=1.2"})


def test_a_part_may_have_no_headers() -> None:
    assert contents(events([b"--0f3c-a\r\n\r\nx\r\n--0f3c-a--"])) == [b"x"]


@pytest.mark.parametrize(
    "content",
    [
        b"x" * (PREAMBLE_MAX + 100),
        b"--0f3c-a\r\n" + b"a: b\r\n" * HEADERS_MAX,
        b"--0f3c-a\r\nno header\r\n\r\n",
        b"--0f3c-a and more\r\n\r\n",
        b"--0f3c-a" + b" " * 1000,
    ],
)
def test_a_message_beyond_the_limits_is_rejected(content: bytes) -> None:
    with pytest.raises(MultipartError):
        events(chunks(content, [100]))


@pytest.mark.parametrize("boundary", ["", "x" * 201, "ü"])
def test_an_invalid_boundary_is_rejected(boundary: str) -> None:
    with pytest.raises(MultipartError):
        MultipartParser(boundary)


def test_the_buffer_is_smaller_than_a_boundary() -> None:
    multipart = MultipartParser(BOUNDARY)
    list(multipart.feed(b"--0f3c-a\r\n\r\n"))
    for _ in range(50):
        list(multipart.feed(bytes(10_000)))
        assert len(multipart._buffer) < 20
