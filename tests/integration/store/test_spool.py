from pathlib import Path

import pytest

from tests.builders.images import image, part10
from triage.dicom.header import read_identity
from triage.domain.errors import SpoolFull
from triage.domain.instance import ReceiptOutcome
from triage.store.spool import FileSpool

CONTENT = part10(image())
IDENTITY = read_identity(CONTENT)


@pytest.fixture
def spool(tmp_path: Path) -> FileSpool:
    return FileSpool(tmp_path)


def test_a_really_full_disk_refuses_and_recovers(small_disk: Path) -> None:
    spool = FileSpool(small_disk)
    kept = []
    with pytest.raises(SpoolFull):
        for number in range(1000):
            content = part10(
                image("full", "series", number, Rows=64, Columns=64, PixelData=bytes(64 * 64 * 2))
            )
            kept.append((spool.keep(read_identity(content), content), content))
    assert kept
    assert all(spool.read(receipt.path) == content for receipt, content in kept)
    (small_disk / "spool" / kept[0][0].path).unlink()
    assert spool.keep(IDENTITY, CONTENT).outcome is ReceiptOutcome.NEW
