"""The manifest of a backup, and the choice of the images that belong in it."""

from collections.abc import Sequence
from typing import Literal

from triage.domain.study import State, StudyRevision
from triage.yaml_models import StrictModel


class ArchivedFile(StrictModel):
    """Size and SHA-256 of a file in the archive."""

    size: int
    sha256: str


class BackupManifest(StrictModel):
    """The content of a backup, and the parts that are left to other backups."""

    format: Literal[1] = 1
    made_at: float  #: the moment that the backup shows, in seconds since the epoch
    program: str  #: version of the program
    ledger_on: Literal["sqlite", "postgresql"]
    spool_in: Literal["state_dir", "spool.url"]
    has_case_library: bool  #: whether past cases are in a shared library, and not in the backup
    settings: dict[str, str]  #: SHA-256 of each section of the settings
    bundle: str  #: name, version and digest of the model
    studies: dict[str, int]  #: number of revisions by state
    images: int
    cases: int
    without_images: int  #: delivered studies without their images in the backup
    files: dict[str, ArchivedFile]


def choose_studies(studies: Sequence[StudyRevision], *, every: bool) -> dict[str, int]:
    """Return the last revision of each study that is not delivered, or of every study.

    A study without images, because retention has removed them, is left out.
    """
    last = {study.study_uid: study.revision for study in studies if not study.pruned_at}
    waiting = {study.study_uid for study in studies if study.state is not State.DELIVERED}
    return {uid: revision for uid, revision in last.items() if every or uid in waiting}
