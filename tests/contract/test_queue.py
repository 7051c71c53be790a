"""The contract of `Queue`, for the fake and for Celery on a real Redis."""

import json
from base64 import b64decode
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from tests.fakes import FakeQueue
from triage.broker.embedded import EmbeddedRedis
from triage.broker.queue import CeleryQueue
from triage.domain.errors import BrokerUnavailable
from triage.ports.queue import Queue

End = Callable[[], None]


@pytest.fixture(params=["fake", "celery"])
def queue(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Queue, End]]:
    """Yield a queue, and a function that takes its broker down."""
    if request.param == "fake":
        fake = FakeQueue()
        yield fake, lambda: setattr(fake, "down", True)
        return
    with EmbeddedRedis(tmp_path) as server:
        celery = CeleryQueue(server.url)
        yield celery, lambda: _end(server)
        celery.close()


def _end(server: EmbeddedRedis) -> None:
    server._end()


def test_tasks_wait_in_their_queue(queue: tuple[Queue, End]) -> None:
    broker, _end = queue
    assert broker.count_waiting("assess") == broker.count_waiting("deliver") == 0
    broker.enqueue_assessment("1.2.3", 1)
    broker.enqueue_assessment("1.2.3", 2)
    broker.enqueue_delivery(7)
    assert (broker.count_waiting("assess"), broker.count_waiting("deliver")) == (2, 1)


def test_a_broker_that_is_down_raises_at_once(queue: tuple[Queue, End]) -> None:
    broker, end = queue
    end()
    with pytest.raises(BrokerUnavailable):
        broker.enqueue_assessment("1.2.3", 1)
    with pytest.raises(BrokerUnavailable):
        broker.enqueue_delivery(1)
    with pytest.raises(BrokerUnavailable):
        broker.count_waiting("assess")


def test_a_message_carries_identifiers_and_nothing_else(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path) as server:
        celery = CeleryQueue(server.url)
        celery.enqueue_assessment("1.2.3", 4)
        (raw,) = redis.Redis.from_url(server.url).lrange("assess", 0, -1)
        celery.close()
    arguments, keywords, _options = json.loads(b64decode(json.loads(raw)["body"]))
    assert (arguments, keywords) == (["1.2.3", 4], {})
