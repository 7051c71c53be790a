"""What reconcilers of tests know of arriving studies."""

from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future
from typing import Any

from triage.domain.completeness import CompletenessPolicy, EvidenceKind
from triage.pipeline.completeness import EvidenceCollector, Look
from triage.pipeline.open_associations import OpenAssociations
from triage.ports.ledger import Ledger


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
    patience: CompletenessPolicy,
    looks: Mapping[EvidenceKind, Look] | None = None,
    of_source: Mapping[str, CompletenessPolicy] | None = None,
    aside: Executor | None = None,
) -> EvidenceCollector:
    """Return a gathering whose questions are answered at once."""
    return EvidenceCollector(
        ledger, OpenAssociations(), patience, of_source or {}, looks or {}, aside or AtOnce()
    )
