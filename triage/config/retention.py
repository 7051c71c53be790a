"""What a site keeps no longer. By default everything is kept."""

from typing import Annotated

from pydantic import Field

from triage.config.fields import Seconds
from triage.domain.retention import RetentionLimits
from triage.yaml_models import StrictModel

DAY_S = 86_400.0

Days = Annotated[float, Field(gt=0, le=36_500, allow_inf_nan=False)]


class RetentionSettings(StrictModel):
    """After how many days what is removed; None: it is kept."""

    spool_days: Days | None = None  #: images of studies whose every report was taken
    declined_days: Days | None = None  #: images of studies that were declined
    failed_days: Days | None = None  #: images of studies that FAILED
    #: below so many free bytes the oldest images of delivered studies go, at any age
    spool_free_bytes: int | None = Field(default=None, gt=0)
    products_days: Days | None = None  #: reports that were delivered, and their summaries
    quarantine_days: Days | None = None  #: files that were refused
    records_days: Days | None = None  #: history and incidents, looks at past cases among them
    cases_days: Days | None = None  #: past cases, by the date of their study
    every_s: Seconds = 600.0  #: how often `triage serve` looks

    @property
    def limits(self) -> RetentionLimits:
        """The same in seconds."""
        return RetentionLimits(
            delivered_s=_seconds(self.spool_days),
            declined_s=_seconds(self.declined_days),
            failed_s=_seconds(self.failed_days),
            products_s=_seconds(self.products_days),
            quarantine_s=_seconds(self.quarantine_days),
            records_s=_seconds(self.records_days),
            cases_s=_seconds(self.cases_days),
            free_bytes=self.spool_free_bytes,
        )


def _seconds(days: float | None) -> float | None:
    return None if days is None else days * DAY_S
