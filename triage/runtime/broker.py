"""Opens the broker of a site."""

from collections.abc import Iterator
from contextlib import contextmanager

from triage.broker.embedded import EmbeddedRedis
from triage.config import Settings


@contextmanager
def open_broker(settings: Settings) -> Iterator[tuple[str, EmbeddedRedis | None]]:
    """Yield the URL of the configured Redis, or of a private one that ends with the block.

    The second item is the private Redis; None if one is configured.
    """
    if settings.redis_url is not None:
        yield settings.redis_url, None
        return
    with EmbeddedRedis(settings.state_dir) as private:
        yield private.url, private
