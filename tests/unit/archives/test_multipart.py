import pytest
from hypothesis import given
from hypothesis import strategies as st

from triage.archives.multipart import boundary_of, parts_of
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
    return [b"".join(part) for part in parts_of(pieces, boundary)]


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
def test_what_is_cut_short_is_an_error(length: int) -> None:
    whole = body(b"one", b"two").removesuffix(b"\r\n")
    with pytest.raises(ArchiveFailed, match="ends before its closing boundary"):
        read([whole[: length % len(whole)]])


def test_a_large_part_is_given_out_as_it_comes() -> None:
    given_out = []

    def pieces() -> object:
        yield b"--b\r\n" + HEAD
        for _ in range(3):
            yield bytes(1000)
            given_out.append(len(seen))
        yield b"\r\n--b--"

    seen: list[int] = []
    for part in parts_of(pieces(), "b"):  # type: ignore[arg-type]
        seen += [len(piece) for piece in part]
    assert sum(seen) == 3000
    assert max(seen) <= 1010


def test_headers_without_an_end_are_not_held() -> None:
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
def test_the_boundary(content_type: str, boundary: str) -> None:
    assert boundary_of(content_type) == boundary


@pytest.mark.parametrize(
    "content_type",
    ["", "text/html", "multipart/related"],
)
def test_what_has_no_parts_is_an_error(content_type: str) -> None:
    with pytest.raises(ArchiveFailed, match="not the parts of a study"):
        boundary_of(content_type)


def test_a_boundary_that_is_none_is_an_error() -> None:
    with pytest.raises(ArchiveFailed, match="a boundary has"):
        read([b""], "x" * (BOUNDARY_MAX + 1))
