"""Retrieving from a fake archive that fails in many ways, with a fake clock."""

from collections import Counter
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.builders.images import image, part10, uid
from tests.fakes import FakeClock
from tests.fakes.archives import FakeArchive, Fetch
from triage.concurrency.rate_limit import RateLimit
from triage.domain.archive import ArchivedStudy, ArchiveQuery, RetrieveResponse
from triage.domain.errors import ArchiveFailed, ArchiveUnreachable, InstanceRefused, SpoolFull
from triage.domain.hours import seconds_until_open
from triage.pipeline.retrieve import STUDY_TRIES, RetrieveLimits, RetrieveOutcome, StudyRetriever
from triage.ports.archive import StudyDownload
from triage.store.download import FolderDownloadTarget, lock_download_folder

UID = uid("study")


def archive_of(*answers: Fetch | Exception, instances: int | None = 3) -> FakeArchive:
    """Return an archive that lists one study and others that do not match."""
    studies = (
        ArchivedStudy("../../etc"),
        ArchivedStudy(UID, instances=instances),
        ArchivedStudy(uid("other")),
    )
    return FakeArchive([*answers], listed=studies)


def sends(*numbers: int, **told: Any) -> Fetch:
    def fetch(desk: StudyDownload) -> RetrieveResponse:
        for number in numbers:
            desk.keep([part10(image(number=number))])
        return RetrieveResponse(**told)

    return fetch


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    with lock_download_folder(tmp_path / "into"):
        yield tmp_path / "into"


def puller(archive: FakeArchive, clock: FakeClock, **limits: object) -> StudyRetriever:
    paces = {
        name: RateLimit(limits.pop(name, None), clock, clock.pass_s)  # type: ignore[arg-type]
        for name in ("instances", "studies")
    }
    return StudyRetriever(archive, RetrieveLimits(**paces, **limits), clock, clock.pass_s)  # type: ignore[arg-type]


def pulled(
    folder: Path, clock: FakeClock, *answers: Fetch | Exception, instances: int | None = 3
) -> tuple[RetrieveOutcome, str, FakeArchive]:
    archive = archive_of(*answers, instances=instances)
    outcome, why = puller(archive, clock, attempts=3).retrieve(FolderDownloadTarget(folder), UID)
    return outcome, why, archive


def test_a_complete_study_gets_its_final_folder(folder: Path, clock: FakeClock) -> None:
    assert pulled(folder, clock, sends(1, 2, 3))[:2] == (RetrieveOutcome.FETCHED, "")
    assert len(list((folder / UID).iterdir())) == 3
    outcome, _, archive = pulled(folder, clock)
    assert outcome is RetrieveOutcome.ALREADY_PRESENT
    assert archive.fetches == 0


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (sends(1, 2), "2 of 3 instances came"),
        (sends(1, 2, 2), "2 of 3 instances came"),
        (sends(1, 2, 3, sent=4), "3 of 4 instances came"),
        (sends(1, 2, 3, failed=1), "could not send 1"),
        (sends(1, 2, 3, whole=False), "did not send everything"),
    ],
)
def test_an_incomplete_study_gets_no_final_folder(
    folder: Path, clock: FakeClock, answer: Fetch, why: str
) -> None:
    outcome, said, _ = pulled(folder, clock, answer)
    assert outcome is RetrieveOutcome.INCOMPLETE
    assert why in said
    assert not (folder / UID).exists()


def test_warnings_alone_are_stated_and_fail_no_study(folder: Path, clock: FakeClock) -> None:
    said = pulled(folder, clock, sends(1, 2, 3, sent=3, warned=2))
    assert said[:2] == (RetrieveOutcome.FETCHED, "with 2 warning(s)")


def test_a_study_is_complete_if_the_archive_states_no_count(folder: Path, clock: FakeClock) -> None:
    assert pulled(folder, clock, sends(1), instances=None)[0] is RetrieveOutcome.FETCHED
    assert pulled(folder, clock, instances=None)[0] is RetrieveOutcome.ALREADY_PRESENT


def test_a_study_without_instances_fails(folder: Path, clock: FakeClock) -> None:
    outcome, why, _ = pulled(folder, clock, sends(), instances=None)
    assert outcome is RetrieveOutcome.FAILED
    assert "no instance came" in why


def test_a_study_that_has_grown_in_the_archive_is_fetched_again(
    folder: Path, clock: FakeClock
) -> None:
    pulled(folder, clock, sends(1, 2), instances=2)
    assert pulled(folder, clock, sends(1, 2, 3), instances=3)[0] is RetrieveOutcome.FETCHED
    assert len(list((folder / UID).iterdir())) == 3


@pytest.mark.parametrize(
    ("part", "why"),
    [
        (part10(image("other")), "an instance of another study"),
        (b"", "an empty file"),
        (b"no DICOM at all", "does not parse"),
        (part10(image(SOPInstanceUID="1.2/../../x")), "SOPInstanceUID is not a UID"),
        (part10(image(StudyInstanceUID="../../x")), "StudyInstanceUID is not a UID"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_instances_of_other_studies_are_refused(
    folder: Path, clock: FakeClock, part: bytes, why: str
) -> None:
    def fetch(desk: StudyDownload) -> RetrieveResponse:
        sends(1, 2, 3)(desk)
        with pytest.raises(InstanceRefused):
            desk.keep([part])
        return RetrieveResponse()

    outcome, said, _ = pulled(folder, clock, fetch)
    assert outcome is RetrieveOutcome.INCOMPLETE
    assert f"1 refused: {why}" in said.replace("the data set ", "")
    assert [path for path in folder.rglob("*") if path.is_file()] == [folder / ".pulling" / "lock"]
    assert {*folder.parent.iterdir()} == {folder}


def test_an_instance_that_contradicts_its_command_is_refused(
    folder: Path, clock: FakeClock
) -> None:
    def fetch(desk: StudyDownload) -> RetrieveResponse:
        with pytest.raises(InstanceRefused):
            desk.keep([part10(image(number=1))], "1.2.3")
        return RetrieveResponse()

    assert "another SOP Instance UID than its command" in pulled(folder, clock, fetch)[1]


@pytest.mark.parametrize("uid_", ["", "..", "../../etc", "1.2/3", "1." * 40 + "1", "1.2\n"])
def test_an_invalid_uid_never_becomes_a_path(folder: Path, clock: FakeClock, uid_: str) -> None:
    archive = archive_of()
    outcome, why = puller(archive, clock).retrieve(FolderDownloadTarget(folder), uid_)
    assert (outcome, why) == (RetrieveOutcome.FAILED, "the archive names it by an invalid UID")
    with pytest.raises(ValueError, match="not a Study Instance UID"):
        FolderDownloadTarget(folder).open(uid_, lambda: None)


def test_a_study_that_breaks_off_is_tried_again_and_then_left(
    folder: Path, clock: FakeClock
) -> None:
    broken = ArchiveFailed("the association broke")
    assert pulled(folder, clock, broken, broken, sends(1, 2, 3))[0] is RetrieveOutcome.FETCHED
    outcome, why, archive = pulled(folder, clock, *[broken] * 9, instances=4)
    assert (outcome, archive.fetches) == (RetrieveOutcome.FAILED, STUDY_TRIES)
    assert why == "the association broke (3 attempts)"
    assert len(list((folder / UID).iterdir())) == 3  # what was there stays


def test_an_archive_that_stops_answering_is_waited_for(folder: Path, clock: FakeClock) -> None:
    away, before = ArchiveUnreachable("it is not there"), clock.now()
    assert pulled(folder, clock, away, away, sends(1, 2, 3))[0] is RetrieveOutcome.FETCHED
    assert clock.now() - before == 5 + 10


def test_a_requested_pause_is_kept(folder: Path, clock: FakeClock) -> None:
    before = clock.now()
    pulled(folder, clock, ArchiveUnreachable("later", after_s=90), sends(1, 2, 3))
    assert clock.now() - before == 90


def test_an_archive_that_stays_unreachable_ends_the_run(folder: Path, clock: FakeClock) -> None:
    with pytest.raises(ArchiveUnreachable, match="it is not there"):
        pulled(folder, clock, *[ArchiveUnreachable("it is not there")] * 9)


def test_an_archive_that_never_answered_is_not_waited_for(folder: Path, clock: FakeClock) -> None:
    before, archive = clock.now(), archive_of(ArchiveUnreachable("it is not there"))
    with pytest.raises(ArchiveUnreachable):
        puller(archive, clock).retrieve(FolderDownloadTarget(folder), UID, ArchivedStudy(UID))
    assert clock.now() == before


def raising(error: Exception) -> Iterator[bytes]:
    yield b"a part"
    raise error


def test_a_full_disk_ends_the_run(folder: Path, clock: FakeClock) -> None:
    def fetch(desk: StudyDownload) -> RetrieveResponse:
        with pytest.raises(SpoolFull):
            desk.keep(raising(SpoolFull("no room")))
        return RetrieveResponse()

    with pytest.raises(SpoolFull, match="no room"):
        pulled(folder, clock, fetch)


def test_rate_limits_hold(folder: Path, clock: FakeClock) -> None:
    came = []

    def fetch(desk: StudyDownload) -> RetrieveResponse:
        for number in range(20):
            desk.keep([part10(image(number=number))])
            came.append(clock.now())
            clock.pass_s(0.05)  # the archive takes its time, too
        return RetrieveResponse()

    archive = archive_of(fetch, fetch, instances=20)
    slow = puller(archive, clock, instances=4.0, studies=60 / 3600)
    slow.retrieve(FolderDownloadTarget(folder), UID)
    (folder / UID).rename(folder / "elsewhere")
    slow.retrieve(FolderDownloadTarget(folder), UID)
    assert Counter(int(at) for at in came).most_common(1)[0][1] <= 4
    assert came[19] - came[0] == pytest.approx(19 / 4)
    assert came[20] - came[0] == pytest.approx(60)


def test_a_pause_is_not_caught_up_by_a_burst(clock: FakeClock) -> None:
    pace = RateLimit(2.0, clock, clock.pass_s)
    pace.wait()
    clock.pass_s(100)
    at = []
    for _ in range(4):
        pace.wait()
        at.append(clock.now())
    assert [later - at[0] for later in at] == [0, 0.5, 1.0, 1.5]


def test_a_clock_that_is_set_back_stops_nothing(clock: FakeClock) -> None:
    pace = RateLimit(2.0, clock, clock.pass_s)
    pace.wait()
    clock.pass_s(-3600)
    before = clock.now()
    pace.wait()
    assert clock.now() - before == 0.5


@pytest.mark.parametrize(
    ("hours", "at", "seconds"),
    [
        (None, "12:00", 0),
        ("22:00-06:00", "21:59", 60),
        ("22:00-06:00", "22:00", 0),
        ("22:00-06:00", "05:59", 0),
        ("22:00-06:00", "06:00", 16 * 3600),
        ("12:00-13:00", "13:00", 23 * 3600),
        ("12:00-12:00", "13:00", 0),
    ],
)
def test_hours_of_the_day(hours: str | None, at: str, seconds: float) -> None:
    now = datetime.fromisoformat(f"2024-01-31T{at}:00").timestamp()
    assert seconds_until_open(hours, now) == seconds


def test_a_study_is_started_only_within_the_hours(folder: Path, clock: FakeClock) -> None:
    clock.at = datetime(2024, 1, 31, 12, 0, 30).timestamp()  # noqa: DTZ001 - local, as hours are
    archive = archive_of(sends(1, 2, 3))
    puller(archive, clock, hours="22:00-06:00").retrieve(FolderDownloadTarget(folder), UID)
    assert datetime.fromtimestamp(clock.at).strftime("%H:%M:%S") == "22:00:00"  # noqa: DTZ006


def test_studies_that_do_not_match_are_left_out(clock: FakeClock) -> None:
    found = puller(archive_of(), clock).find(ArchiveQuery(study_uid=UID))
    assert [study.study_uid for study in found] == [UID]


def test_a_search_is_split_by_day() -> None:
    search = ArchiveQuery(since=date(2024, 2, 28), until=date(2024, 3, 1), modality="MR")
    days = [(day.since, day.until, day.modality) for day in search.split_by_day()]
    assert days == [(day, day, "MR") for day in map(date, [2024] * 3, [2, 2, 3], [28, 29, 1])]


@pytest.mark.parametrize(
    ("told", "search", "answers"),
    [
        ({"study_date": "20240131"}, ArchiveQuery(since=date(2024, 2, 1)), False),
        ({"study_date": "no date"}, ArchiveQuery(since=date(2024, 2, 1)), True),
        ({"modalities": ("SR",)}, ArchiveQuery(modality="MR"), False),
        ({"modalities": ()}, ArchiveQuery(modality="MR"), True),
        ({"patient_id": ""}, ArchiveQuery(patient_id="1"), False),
        ({"description": "HERZ"}, ArchiveQuery(description="herz"), True),
        ({}, ArchiveQuery(description="herz"), False),
    ],
)
def test_keys_that_an_archive_ignores_are_checked(
    told: dict[str, Any],
    search: ArchiveQuery,
    answers: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    assert ArchivedStudy(UID, **told).matches(search) is answers


def test_two_runs_cannot_share_a_folder(folder: Path) -> None:
    with pytest.raises(Exception, match="another pull uses"), lock_download_folder(folder):
        pass


def test_incomplete_downloads_are_swept(tmp_path: Path) -> None:
    (tmp_path / ".pulling" / UID).mkdir(parents=True)
    (tmp_path / ".pulling" / "half").write_bytes(b"half")
    with lock_download_folder(tmp_path):
        assert [path.name for path in (tmp_path / ".pulling").iterdir()] == ["lock"]
