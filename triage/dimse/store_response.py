"""The C-STORE status that the outcome of storing an instance is answered with (PS3.4 B.2.3)."""

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


def store_status(accept: Callable[[], object]) -> int:
    """Call `accept`, which stores one instance, and return the C-STORE status to answer with."""
    try:
        accept()
    except DamagedInstance:
        return StoreStatus.CANNOT_UNDERSTAND
    except MismatchedInstance:
        return StoreStatus.DATA_SET_DOES_NOT_MATCH
    except BackpressureActive:  # `Backpressure` logs when it begins and when it ends
        return StoreStatus.OUT_OF_RESOURCES
    except (OutOfResources, LedgerUnavailable) as error:
        log.error("instance not stored", error=str(error))  # noqa: TRY400 - no trace needed
        return StoreStatus.OUT_OF_RESOURCES
    return StoreStatus.SUCCESS
