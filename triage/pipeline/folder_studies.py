"""The studies below a folder of files, by what the files themselves state."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from triage.dicom.header import read_identity, read_text_element
from triage.domain.errors import DamagedInstance
from triage.domain.uid import is_uid

StudyFiles = Mapping[str, Sequence[str]]  #: paths of each study's files, by Study Instance UID
PREAMBLE, PREFIX = 128, b"DICM"  #: with which a DICOM file begins (PS3.10 7.1)
DIRECTORY = "DICOMDIR"  #: name of the directory of a file-set, which is no instance (PS3.10 8.6)


@dataclass(frozen=True)
class DamagedFile:
    """A DICOM file that is no usable instance; a receiver would refuse it."""

    path: str
    study_uid: str  #: empty if it cannot be read
    reason: str


@dataclass(frozen=True)
class FolderStudies:
    """The files below a folder."""

    studies: StudyFiles  #: usable instances
    damaged: Sequence[DamagedFile]
    others: int  #: files that are no DICOM, and directories of file-sets


def find_studies_in_folder(
    folder: Path, on_file: Callable[[], None] = lambda: None
) -> FolderStudies:
    """Return the studies below a folder, and the files that belong to none.

    Every DICOM file is read once, because only its data set states its study; `on_file` is called
    after each file.
    """
    studies: dict[str, list[str]] = defaultdict(list)
    damaged: list[DamagedFile] = []
    others = 0
    for path in list_files(folder):
        try:
            part10 = _read_dicom(path)
            if part10 is None:
                others += 1
            else:
                studies[read_identity(part10).study_uid].append(str(path))
        except DamagedInstance as error:
            damaged.append(DamagedFile(str(path), _read_study_uid(part10 or b""), str(error)))
        except OSError as error:
            damaged.append(DamagedFile(str(path), "", error.strerror or type(error).__name__))
        on_file()
    return FolderStudies(studies, damaged, others)


def list_files(folder: Path) -> list[Path]:
    """Return every file below a folder, sorted; hidden ones may still be arriving and are not."""
    return sorted(
        path for path in folder.rglob("*") if path.is_file() and not _is_hidden(path, folder)
    )


def _is_hidden(path: Path, folder: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(folder).parts)


def _read_dicom(path: Path) -> bytes | None:
    """Return the content of a DICOM file; None for any other file, of which little is read."""
    if path.name.upper() == DIRECTORY:
        return None
    with path.open("rb") as file:
        head = file.read(PREAMBLE + len(PREFIX))
        return head + file.read() if head[PREAMBLE:] == PREFIX else None


def _read_study_uid(part10: bytes) -> str:
    study_uid = read_text_element(part10, "StudyInstanceUID")
    return study_uid if is_uid(study_uid) else ""
