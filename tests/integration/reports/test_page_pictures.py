"""The pictures of report pages in the documents exist, are small, and can be made again."""

import re
from pathlib import Path

import pytest

from tests.builders.page_pictures import FOLDER, MOST_BYTES, PICTURES, draw_pages, encode_picture

NAMED = re.compile(r"!\[([^\]]*)\]\((?:deploy/)?pictures/([^)]+)\)")
DOCUMENT = FOLDER.parent / "REPORTS.md"
README = FOLDER.parents[1] / "README.md"


def named_in(document: Path) -> dict[str, str]:
    """Return what each picture that a document shows is said to show, by file name."""
    text = document.read_text(encoding="utf-8")
    return {file: shows for shows, file in NAMED.findall(text)}


def test_the_document_shows_every_picture_and_says_what_it_shows() -> None:
    assert named_in(DOCUMENT) == {f"{n}.png": picture.shows for n, picture in PICTURES.items()}


def test_every_named_picture_exists_is_small_and_has_a_builder() -> None:
    files = {path.name: path.stat().st_size for path in FOLDER.iterdir()}
    assert {*named_in(DOCUMENT), *named_in(README)} == set(files)
    assert {name: size for name, size in files.items() if size > MOST_BYTES} == {}


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_made_again_as_one_page(name: str) -> None:
    sheets = draw_pages(PICTURES[name].arrivals())
    assert len(sheets) == 1
    assert len(encode_picture(sheets[0])) <= MOST_BYTES
