"""Redis as a cache that the store can do without."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from django.core.cache.backends.base import DEFAULT_TIMEOUT
from django.core.cache.backends.redis import RedisCache
from redis import RedisError

TIMEOUT_SECONDS = 0.25
PAUSE_SECONDS = 10

logger = logging.getLogger(__name__)

# For each server that was away, the time of the next attempt; known to all threads, each of which has its own cache.
_next_attempt: dict[str, float] = {}


class ForgivingRedisCache(RedisCache):
    """Django's Redis cache, which is like an empty one while Redis is away, and tries it again every PAUSE_SECONDS.

    That holds for the methods that the store calls: get, set, add and incr.
    """

    def __init__(self, server: str, params: dict[str, Any]) -> None:
        options = {
            "socket_connect_timeout": TIMEOUT_SECONDS,
            "socket_timeout": TIMEOUT_SECONDS,
            # An idle connection that something between has dropped is found here, not by a request.
            "health_check_interval": 30,
            **params.get("OPTIONS", {}),
        }
        super().__init__(server, {**params, "OPTIONS": options})
        self._server = server

    def get(self, key: Any, default: Any = None, version: int | None = None) -> Any:
        return self._ask(super().get, key, default, version, when_away=default)

    def set(self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> None:
        self._ask(super().set, key, value, timeout, version, when_away=None)

    def add(self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        return bool(self._ask(super().add, key, value, timeout, version, when_away=False))

    def incr(self, key: Any, delta: int = 1, version: int | None = None) -> int:
        """Count up and return the new count. Raises ValueError for an absent key, as all are while Redis is away."""
        count = self._ask(super().incr, key, delta, version, when_away=None)
        if count is None:
            raise ValueError("cache away")
        return int(count)

    def _ask(self, method: Callable[..., Any], *arguments: Any, when_away: Any) -> Any:
        if time.monotonic() < _next_attempt.get(self._server, 0):
            return when_away
        try:
            return method(*arguments)
        except (RedisError, OSError) as error:
            _next_attempt[self._server] = time.monotonic() + PAUSE_SECONDS
            logger.warning("cache away, next attempt in %d s: %s", PAUSE_SECONDS, type(error).__name__)
            return when_away
