"""Records in the ledger that a process of `triage serve` hung and was killed."""

import threading
from dataclasses import dataclass

import structlog

from triage.config import Settings
from triage.domain.errors import TriageError
from triage.domain.health import HungReason
from triage.domain.instance import Source
from triage.runtime.storage import open_existing_ledger

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class HangReporter:
    """Reports hung processes as incidents, which `triage status` and the metrics show."""

    settings: Settings

    def report(self, part: str, why: HungReason) -> None:
        """Report in a thread: a ledger that does not answer must not hold up the supervisor."""
        threading.Thread(target=self._record, args=(part, why), daemon=True).start()

    def _record(self, part: str, why: HungReason) -> None:
        try:
            ledger = open_existing_ledger(self.settings)
        except TriageError as error:
            log.warning("incident not recorded", error=str(error))
            return
        try:
            ledger.report_repeated(why.incident, f"{part}: {why}", Source("", ""))
        except TriageError as error:
            log.warning("incident not recorded", error=str(error))
        finally:
            ledger.close()
