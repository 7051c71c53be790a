"""After which time data is removed. By default everything is kept."""

from typing import Annotated

from pydantic import Field

from triage.config.fields import Seconds
from triage.domain.retention import RetentionLimits
from triage.yaml_models import StrictModel

DAY_S = 86_400.0

Days = Annotated[float, Field(gt=0, le=36_500, allow_inf_nan=False)]


class RetentionSettings(StrictModel):
    """Days after which each kind of data is removed; None: it is kept."""

    spool_days: Days | None = None  #: images of studies with every report delivered
    declined_days: Days | None = None  #: images of studies that were declined
    failed_days: Days | None = None  #: images of studies that FAILED
    #: with less free disk space the oldest images of delivered studies are removed, at any age
    spool_free_bytes: int | None = Field(default=None, gt=0)
    products_days: Days | None = None  #: reports that were delivered, and their summaries
    quarantine_days: Days | None = None  #: files that were refused
    records_days: Days | None = (
        None  #: history and incidents, including the access log of past cases
    )
    cases_days: Days | None = None  #: past cases, by the date of their study
    every_s: Seconds = 600.0  #: interval at which `triage serve` removes

    @property
    def limits(self) -> RetentionLimits:
        """The same limits in seconds."""
        return RetentionLimits(
            delivered_s=_convert_to_seconds(self.spool_days),
            declined_s=_convert_to_seconds(self.declined_days),
            failed_s=_convert_to_seconds(self.failed_days),
            products_s=_convert_to_seconds(self.products_days),
            quarantine_s=_convert_to_seconds(self.quarantine_days),
            records_s=_convert_to_seconds(self.records_days),
            cases_s=_convert_to_seconds(self.cases_days),
            free_bytes=self.spool_free_bytes,
        )


def _convert_to_seconds(days: float | None) -> float | None:
    return None if days is None else days * DAY_S
