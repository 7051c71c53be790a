"""Counts which views of the model an arriving study fills.

Views are selected as in an assessment, but from the headers alone.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from triage.domain.completeness import ViewCount
from triage.domain.errors import DamagedInstance
from triage.domain.study import StudyRevision
from triage.imaging.images import Image, open_image
from triage.imaging.rules import SeriesRules
from triage.imaging.series import select_views
from triage.ports.instances import InstanceLedger
from triage.ports.spool import Spool


@dataclass(frozen=True)
class ViewCoverage:
    """Counts the filled view slots of a bundle."""

    spool: Spool
    ledger: InstanceLedger
    views: Sequence[str]  #: the bundle's view slots
    rules: SeriesRules

    def __call__(self, study: StudyRevision) -> ViewCount:
        """Return how many views a study fills."""
        selection = select_views(list(self._read_images(study)), self.views, self.rules)
        return ViewCount(len(selection.used), len(selection.missing))

    def _read_images(self, study: StudyRevision) -> Iterator[Image]:
        for path in self.ledger.list_paths(study.study_uid, study.revision):
            try:
                yield open_image(path, self.spool.read(path))
            except DamagedInstance:  # it fills no view
                continue
