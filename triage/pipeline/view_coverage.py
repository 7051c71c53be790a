"""Which views of the model a study fills, asked while it still arrives.

Rule: views are chosen as the assessment chooses them, from headers alone.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from triage.dicom.header import read_header
from triage.domain.completeness import ViewCount
from triage.domain.errors import DamagedInstance
from triage.domain.study import StudyRevision
from triage.imaging.images import Image
from triage.imaging.rules import SeriesRules
from triage.imaging.series import select_views
from triage.ports.ledger import Ledger
from triage.ports.spool import Spool


@dataclass(frozen=True)
class ViewCoverage:
    """The view slots of a bundle, held against what has arrived."""

    spool: Spool
    ledger: Ledger
    views: Sequence[str]
    rules: SeriesRules

    def __call__(self, study: StudyRevision) -> ViewCount:
        """Return how many views a study fills."""
        selection = select_views(list(self._images(study)), self.views, self.rules)
        return ViewCount(len(selection.used), len(selection.missing))

    def _images(self, study: StudyRevision) -> Iterator[Image]:
        for path in self.ledger.list_paths(study.study_uid, study.revision):
            try:
                yield Image(path, read_header(self.spool.read(path)))
            except DamagedInstance:  # it fills no view
                continue
