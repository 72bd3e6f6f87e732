"""Redis servers for the tests, there and away."""

from __future__ import annotations

import os
import time

from django.conf import LazySettings

REDIS_URL = os.environ.get("TEST_REDIS_URL", "redis://127.0.0.1:6379/9")
NOBODY_LISTENS = "redis://127.0.0.1:1/0"
BLACK_HOLE = "redis://192.0.2.1:6379/0"


def with_cache(settings: LazySettings, url: str) -> str:
    """Make a Redis the shared cache of a test and return the prefix of its keys there."""
    prefix = f"test-{os.getpid()}-{time.monotonic_ns()}"
    backend = "logstore_project.cache.ForgivingRedisCache"
    settings.CACHES = {
        **settings.CACHES,
        "default": {"BACKEND": backend, "LOCATION": url, "KEY_PREFIX": prefix},
    }
    return prefix
