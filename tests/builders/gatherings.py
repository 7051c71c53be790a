"""What reconcilers of tests know of arriving studies."""

from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future
from typing import Any

from triage.associations import OpenAssociations
from triage.domain.completeness import Patience, Sign
from triage.gathering import Gathering, Look
from triage.ports import Ledger


class AtOnce(Executor):
    """Does aside what it is given, before it returns."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        answer: Future[Any] = Future()
        try:
            answer.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - as an executor does
            answer.set_exception(error)
        return answer


def gathering(
    ledger: Ledger,
    patience: Patience,
    looks: Mapping[Sign, Look] | None = None,
    of_source: Mapping[str, Patience] | None = None,
    aside: Executor | None = None,
) -> Gathering:
    """Return a gathering whose questions are answered at once."""
    return Gathering(
        ledger, OpenAssociations(), patience, of_source or {}, looks or {}, aside or AtOnce()
    )
