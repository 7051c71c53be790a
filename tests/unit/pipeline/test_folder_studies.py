"""Every file below a folder is an instance of a study, damaged, or no DICOM."""

from pathlib import Path

import pytest

from tests.builders.images import image, part10, uid
from triage.pipeline.folder_studies import find_studies_in_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "1").write_bytes(part10(image("one", number=1)))
    (tmp_path / "a" / "b" / "2.dcm").write_bytes(part10(image("one", number=2)))
    (tmp_path / "3.dcm").write_bytes(part10(image("two", number=3)))
    return tmp_path


def test_files_are_grouped_by_study_wherever_they_are(folder: Path) -> None:
    found = find_studies_in_folder(folder)
    assert found.studies == {
        uid("two"): [str(folder / "3.dcm")],
        uid("one"): [str(folder / "a" / "1"), str(folder / "a" / "b" / "2.dcm")],
    }
    assert (list(found.damaged), found.others) == ([], 0)


def test_other_files_are_counted_and_hidden_ones_are_not(folder: Path) -> None:
    (folder / "notes.txt").write_text("none")
    (folder / "empty.dcm").touch()
    (folder / "DICOMDIR").write_bytes(part10(image("two", number=4)))
    (folder / ".part").write_bytes(b"arriving")
    found = find_studies_in_folder(folder)
    assert (len(found.studies), list(found.damaged), found.others) == (2, [], 3)


def test_a_damaged_file_keeps_its_study_if_that_can_be_read(folder: Path) -> None:
    whole = part10(image("two", number=5))
    (folder / "8.dcm").write_bytes(whole[:-100])
    (folder / "9.dcm").write_bytes(whole[:140])
    found = find_studies_in_folder(folder)
    short, torn = found.damaged
    assert (short.path, short.study_uid) == (str(folder / "8.dcm"), uid("two"))
    assert "pixel data" in short.reason.lower()
    assert (torn.path, torn.study_uid) == (str(folder / "9.dcm"), "")
    assert torn.reason == "StudyInstanceUID is missing"


def test_each_file_is_reported(folder: Path) -> None:
    (folder / "notes.txt").write_text("none")
    seen: list[int] = []
    find_studies_in_folder(folder, lambda: seen.append(1))
    assert len(seen) == 4


def test_a_file_that_cannot_be_read_is_damaged(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Path.open

    def refuse(path: Path, *arguments: object, **options: object) -> object:
        if path.name == "3.dcm":
            raise PermissionError(13, "Permission denied")
        return original(path, *arguments, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", refuse)
    (refused,) = find_studies_in_folder(folder).damaged
    assert (refused.study_uid, refused.reason) == ("", "Permission denied")
