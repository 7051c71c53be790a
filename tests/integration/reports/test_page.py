"""The report page: its texts, fonts, pictures and colours."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.builders.reportings import KINDS
from tests.peers import peer
from triage.reports import page, secondary_capture


@pytest.mark.parametrize("kind", KINDS)
def test_fonts_are_embedded(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "page.pdf"
    file.write_bytes(page.render(KINDS[kind]()))
    fonts = subprocess.run(
        [peer("pdffonts"), file], capture_output=True, check=True, text=True
    ).stdout.splitlines()[2:]
    assert fonts
    for line in fonts:
        embedded, subset, to_unicode = line.split()[-5:-2]
        assert (embedded, subset, to_unicode) == ("yes", "yes", "yes"), line


def test_poppler_and_pdfium_render_the_same(tmp_path: Path) -> None:
    file = tmp_path / "page.pdf"
    file.write_bytes(page.render(KINDS["usual"]()))
    done = subprocess.run(
        [peer("pdftoppm"), "-r", str(secondary_capture.DPI), file, tmp_path / "page"],
        capture_output=True,
        check=True,
    )
    assert done.stderr == b""
    (other,) = tmp_path.glob("*.ppm")
    theirs = read_ppm(other)
    ours = secondary_capture.render_sheets(file.read_bytes())[0]
    rows = min(len(ours), len(theirs))
    difference = np.abs(ours[:rows].astype(int) - theirs[:rows]).mean()
    assert difference < 6  # of 255: the edges of letters
    assert (ours != 255).any(axis=2).mean() > 0.1


def read_ppm(file: Path) -> NDArray[np.uint8]:
    content = file.read_bytes()
    _, size, _, pixels = content.split(b"\n", 3)
    columns, rows = map(int, size.split())
    return np.frombuffer(pixels, np.uint8).reshape(rows, columns, 3)
