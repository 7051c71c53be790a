"""When instances are refused before anything breaks, and when they are taken again."""

from contextlib import suppress
from pathlib import Path

from triage.pipeline.backpressure import (
    NO_ROOM,
    NoticeFile,
)


def test_8_a_disk_without_room_for_the_notice_is_shown_all_the_same(small_disk: Path) -> None:
    notice = NoticeFile(small_disk)
    with suppress(OSError), (small_disk / "ballast").open("wb", buffering=0) as ballast:
        while True:
            ballast.write(bytes(4096))
    notice("not receiving: 0 MB free of a floor of 5.0 GB")
    assert notice.read() == NO_ROOM
    (small_disk / "ballast").unlink()
    notice("not receiving: 1 MB free of a floor of 5.0 GB")
    assert notice.read() == "not receiving: 1 MB free of a floor of 5.0 GB"
