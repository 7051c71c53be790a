import pytest
from hypothesis import given
from hypothesis import strategies as st

from triage.archives.multipart import read_boundary, read_parts
from triage.dicom.multipart_related import BOUNDARY_MAX, HEADERS_MAX
from triage.domain.errors import ArchiveFailed

HEAD = b"Content-Type: application/dicom\r\n\r\n"


def body(*parts: bytes, boundary: bytes = b"b", before: bytes = b"") -> bytes:
    framed = b"".join(b"--" + boundary + b"\r\n" + HEAD + part + b"\r\n" for part in parts)
    return before + framed + b"--" + boundary + b"--\r\n"


def cut(content: bytes, sizes: list[int]) -> list[bytes]:
    pieces = []
    for size in sizes:
        pieces.append(content[:size])
        content = content[size:]
    return [*pieces, content]


def read(pieces: list[bytes], boundary: str = "b") -> list[bytes]:
    return [b"".join(part) for part in read_parts(pieces, boundary)]


@given(
    st.lists(st.text("\r\n-ab", max_size=40).map(str.encode)),
    st.lists(st.integers(0, 9)),
    st.sampled_from([b"", b"preamble\r\n"]),
)
def test_parts_are_the_same_however_they_are_cut(
    parts: list[bytes], sizes: list[int], before: bytes
) -> None:
    parts = [part for part in parts if b"--b" not in part]
    assert read(cut(body(*parts, before=before), sizes)) == parts


@given(st.integers(0, 10_000))
def test_a_truncated_response_is_an_error(length: int) -> None:
    whole = body(b"one", b"two").removesuffix(b"\r\n")
    with pytest.raises(ArchiveFailed, match="ends before its closing boundary"):
        read([whole[: length % len(whole)]])


def test_a_large_part_is_yielded_as_it_arrives() -> None:
    yielded = []

    def pieces() -> object:
        yield b"--b\r\n" + HEAD
        for _ in range(3):
            yield bytes(1000)
            yielded.append(len(seen))
        yield b"\r\n--b--"

    seen: list[int] = []
    for part in read_parts(pieces(), "b"):  # type: ignore[arg-type]
        seen += [len(piece) for piece in part]
    assert sum(seen) == 3000
    assert max(seen) <= 1010


def test_headers_without_an_end_are_an_error() -> None:
    with pytest.raises(ArchiveFailed, match="bytes of headers"):
        read([b"--b\r\n", bytes(HEADERS_MAX), b"x" * HEADERS_MAX])


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        ('multipart/related; type="application/dicom"; boundary=abc', "abc"),
        ('multipart/related; boundary="a b\'c"', "a b'c"),
        ("Multipart/Related; BOUNDARY=abc", "abc"),
    ],
)
def test_the_boundary_is_read_from_the_content_type(content_type: str, boundary: str) -> None:
    assert read_boundary(content_type) == boundary


@pytest.mark.parametrize(
    "content_type",
    ["", "text/html", "multipart/related"],
)
def test_another_content_type_is_an_error(content_type: str) -> None:
    with pytest.raises(ArchiveFailed, match="not the parts of a study"):
        read_boundary(content_type)


def test_a_boundary_that_is_too_long_is_an_error() -> None:
    with pytest.raises(ArchiveFailed, match="a boundary has"):
        read([b""], "x" * (BOUNDARY_MAX + 1))
