"""Evidence collectors for tests of completeness."""

from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future
from typing import Any

from triage.domain.completeness import CompletenessPolicy, EvidenceKind
from triage.pipeline.completeness import EvidenceCollector, Query
from triage.pipeline.open_associations import OpenAssociations
from triage.ports.instances import InstanceLedger


class ImmediateExecutor(Executor):
    """Runs a task before `submit` returns."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run `fn` and return its result as a finished future."""
        answer: Future[Any] = Future()
        try:
            answer.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - as an executor does
            answer.set_exception(error)
        return answer


def build_collector(
    ledger: InstanceLedger,
    policy: CompletenessPolicy,
    queries: Mapping[EvidenceKind, Query] | None = None,
    policies_by_source: Mapping[str, CompletenessPolicy] | None = None,
    executor: Executor | None = None,
) -> EvidenceCollector:
    """Return a collector whose queries are answered at once."""
    return EvidenceCollector(
        ledger,
        OpenAssociations(),
        policy,
        policies_by_source or {},
        queries or {},
        executor or ImmediateExecutor(),
    )
