"""Redis as a cache that the store can do without."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable
from typing import Any

from django.core.cache.backends.redis import RedisCache, RedisCacheClient
from redis import RedisError

TIMEOUT_SECONDS = 0.25
PAUSE_SECONDS = 10

logger = logging.getLogger(__name__)

# For each server that was away, the time of the next attempt; known to all threads, each of which has its own client.
_next_attempt: dict[str, float] = {}


def _forgiving(method: Callable[..., Any], when_away: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(client: ForgivingClient, *args: Any) -> Any:
        server = client._servers[0]
        if time.monotonic() < _next_attempt.get(server, 0):
            return when_away(*args)
        try:
            return method(client, *args)
        except (RedisError, OSError) as error:
            _next_attempt[server] = time.monotonic() + PAUSE_SECONDS
            logger.warning("cache away, next attempt in %d s: %s", PAUSE_SECONDS, type(error).__name__)
            return when_away(*args)

    return call


def _no_such_key(*args: Any) -> None:
    raise ValueError("cache away")


class ForgivingClient(RedisCacheClient):
    """Like an empty cache that forgets at once while Redis is away, which is then asked only now and then."""

    get = _forgiving(RedisCacheClient.get, lambda key, default: default)
    get_many = _forgiving(RedisCacheClient.get_many, lambda keys: {})
    has_key = _forgiving(RedisCacheClient.has_key, lambda key: False)
    add = _forgiving(RedisCacheClient.add, lambda key, value, timeout: False)
    set = _forgiving(RedisCacheClient.set, lambda key, value, timeout: None)
    set_many = _forgiving(RedisCacheClient.set_many, lambda data, timeout: None)
    touch = _forgiving(RedisCacheClient.touch, lambda key, timeout: False)
    delete = _forgiving(RedisCacheClient.delete, lambda key: False)
    delete_many = _forgiving(RedisCacheClient.delete_many, lambda keys: None)
    clear = _forgiving(RedisCacheClient.clear, lambda: False)
    incr = _forgiving(RedisCacheClient.incr, _no_such_key)


class ForgivingRedisCache(RedisCache):
    """Django's Redis cache, without which the store goes on serving."""

    def __init__(self, server: str | list[str], params: dict[str, Any]) -> None:
        super().__init__(server, params)
        self._class = ForgivingClient
        self._options = {
            "socket_connect_timeout": TIMEOUT_SECONDS,
            "socket_timeout": TIMEOUT_SECONDS,
            # An idle connection that something between has dropped is found here, not by a request.
            "health_check_interval": 30,
            **self._options,
        }
