"""The Celery application, and the queue that sends tasks with it.

A message carries identifiers and nothing else, and a lost message loses no work: the ledger holds
states, attempts and due times, and the reconciler sends again. Therefore results, retries and time
limits of Celery are off. Only this module and `triage.runtime.worker` import Celery.
"""

import redis
from celery import Celery
from kombu.exceptions import OperationalError
from redis.backoff import NoBackoff
from redis.retry import Retry

from triage.domain.errors import BrokerUnavailable

ASSESS = "assess"  #: name of a task and of its queue
DELIVER = "deliver"  #: name of a task and of its queue
TIMEOUT_S = 5  #: to connect to Redis, and for each answer


def celery_app(redis_url: str) -> Celery:
    """Return the Celery application on a Redis; the URL of a Unix socket is unix:///path."""
    app = Celery("triage", broker=redis_url.replace("unix://", "redis+socket://"))
    app.conf.update(
        task_ignore_result=True,
        task_acks_late=True,
        task_routes={ASSESS: {"queue": ASSESS}, DELIVER: {"queue": DELIVER}},
        task_publish_retry=False,
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={
            # A redelivered task does no harm: the lease shows that its work is already in progress.
            "visibility_timeout": 3600,
            "socket_timeout": TIMEOUT_S,
            "socket_connect_timeout": TIMEOUT_S,
        },
    )
    return app


class CeleryQueue:
    """The task queue on Celery and Redis; implements `Queue`."""

    def __init__(self, redis_url: str) -> None:
        self._app = celery_app(redis_url)
        self._redis = redis.Redis.from_url(
            redis_url, socket_timeout=TIMEOUT_S, retry=Retry(NoBackoff(), 0)
        )

    def enqueue_assessment(self, study_uid: str, revision: int) -> None:
        """Ask a worker to assess a revision."""
        self._send(ASSESS, study_uid, revision)

    def enqueue_delivery(self, delivery_id: int) -> None:
        """Ask a worker to make a delivery."""
        self._send(DELIVER, delivery_id)

    def count_waiting(self, queue: str) -> int:
        """Return how many tasks wait in a queue, without those that a worker has fetched."""
        try:
            return int(self._redis.llen(queue))
        except redis.exceptions.RedisError as error:
            raise BrokerUnavailable(str(error)) from None

    def close(self) -> None:
        """Close all connections."""
        self._redis.close()
        self._app.close()

    def _send(self, task: str, *identifiers: str | int) -> None:
        try:
            self._app.send_task(task, args=identifiers)
        except (OperationalError, redis.exceptions.RedisError) as error:
            raise BrokerUnavailable(str(error)) from None
