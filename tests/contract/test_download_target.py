"""Contract of the download targets and their downloads: a folder, and the intake."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.builders.images import image, part10, uid
from triage.config import Settings
from triage.domain.errors import InstanceRefused
from triage.ports.archive import DownloadTarget
from triage.runtime.clock import SystemClock
from triage.runtime.paths import pulled_folder
from triage.runtime.retrieval import open_intake_target
from triage.runtime.storage import open_ledger
from triage.store.download import FolderDownloadTarget, lock_download_folder

STUDY = uid("study")
FIRST, SECOND, THIRD = (part10(image(number=number)) for number in (1, 2, 3))
FIRST_UID = str(image(number=1).SOPInstanceUID)


@pytest.fixture(params=["folder", "intake"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[DownloadTarget]:
    if request.param == "folder":
        with lock_download_folder(tmp_path):
            yield FolderDownloadTarget(tmp_path)
        return
    pacs = {"kind": "dicom", "ae_title": "PACS", "host": "127.0.0.1", "port": 104}
    settings = Settings.model_validate({"state_dir": tmp_path, "archives": {"pacs": pacs}})
    open_ledger(settings, SystemClock()).close()  # created by the worker otherwise
    with lock_download_folder(pulled_folder(settings)):
        yield open_intake_target(settings, "pacs")


def do_not_wait() -> None:
    """Allow the next instance at once."""


def test_a_finished_study_is_stored(target: DownloadTarget) -> None:
    assert target.count_instances(STUDY) == 0
    with target.open(STUDY, do_not_wait) as download:
        download.keep([FIRST], FIRST_UID)
        download.keep([SECOND[:100], SECOND[100:]])
        assert download.instances == 2
        assert target.count_instances(STUDY) == 0
        download.finish()
    assert target.count_instances(STUDY) == 2


def test_an_unfinished_study_is_discarded(target: DownloadTarget) -> None:
    with target.open(STUDY, do_not_wait) as download:
        download.keep([FIRST])
    assert target.count_instances(STUDY) == 0
    with target.open(STUDY, do_not_wait) as download:
        assert download.instances == 0


def test_an_instance_is_stored_once(target: DownloadTarget) -> None:
    with target.open(STUDY, do_not_wait) as download:
        download.keep([FIRST])
        download.keep([FIRST])
        assert download.instances == 1
        download.finish()
    assert target.count_instances(STUDY) == 1


def test_every_instance_waits_for_its_turn(target: DownloadTarget) -> None:
    turns: list[int] = []
    with target.open(STUDY, lambda: turns.append(1)) as download:
        download.keep([FIRST])
        download.keep([SECOND])
    assert len(turns) == 2


@pytest.mark.parametrize(
    ("content", "announced_uid"),
    [
        (b"", None),
        (b"not DICOM", None),
        (part10(image("other")), None),
        (FIRST, "1.2.3"),
    ],
    ids=["empty", "damaged", "other study", "other UID than announced"],
)
def test_an_unsuitable_instance_is_refused_and_counted(
    target: DownloadTarget, content: bytes, announced_uid: str | None
) -> None:
    with target.open(STUDY, do_not_wait) as download:
        with pytest.raises(InstanceRefused) as error:
            download.keep([content], announced_uid)
        assert (download.refusals, download.instances) == ({str(error.value): 1}, 0)
        assert download.storage_error is None
        download.keep([SECOND])
        download.finish()
    assert target.count_instances(STUDY) == 1


def test_a_study_that_grew_is_completed(target: DownloadTarget) -> None:
    for contents in ([FIRST, SECOND], [FIRST, SECOND, THIRD]):
        with target.open(STUDY, do_not_wait) as download:
            for content in contents:
                download.keep([content])
            download.finish()
        assert target.count_instances(STUDY) == len(contents)
