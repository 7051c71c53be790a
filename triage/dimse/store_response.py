"""The C-STORE status for the outcome of storing an instance (PS3.4 B.2.3)."""

from collections.abc import Callable

import structlog

from triage.dimse.statuses import StoreStatus
from triage.domain.errors import (
    BackpressureActive,
    DamagedInstance,
    LedgerUnavailable,
    MismatchedInstance,
    OutOfResources,
)

log = structlog.get_logger(__name__)


def attempt_store(accept: Callable[[], object]) -> int:
    """Call `accept`, which stores one instance, and return the C-STORE status of the response."""
    try:
        accept()
    except DamagedInstance:
        return StoreStatus.CANNOT_UNDERSTAND
    except MismatchedInstance:
        return StoreStatus.DATA_SET_DOES_NOT_MATCH
    except BackpressureActive:  # `Backpressure` logs its begin and its end
        return StoreStatus.OUT_OF_RESOURCES
    except (OutOfResources, LedgerUnavailable) as error:
        log.error("instance not stored", error=str(error))  # noqa: TRY400 - no trace needed
        return StoreStatus.OUT_OF_RESOURCES
    return StoreStatus.SUCCESS
