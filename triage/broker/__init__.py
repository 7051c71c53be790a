"""The broker: the Redis of the site or a private one, and the Celery queues on it."""
