"""How often somebody may do something: fixed windows, counted in a cache."""

from __future__ import annotations

import math
import time
from typing import TypeAlias

from django.core.cache import caches
from django.core.cache.backends.base import BaseCache

# How many times, in every window of how many seconds; windows are counted from 1970.
Rate: TypeAlias = tuple[int, int]


def seconds_to_wait(what: str, who: str, rate: Rate, *, or_in_process: bool = False) -> int:
    """Count one more time and return 0 while that is within the rate, otherwise the seconds until the next window.

    what, who: what is counted, and for whom.
    rate: how many times, and the length of a window in seconds.
    or_in_process: whether each process counts by itself while the cache that they share is away; otherwise nothing is
        over the rate then.
    """
    limit, window = rate
    now = time.time()
    key = f"rate:{what}:{who}:{window}:{int(now // window)}"
    count = _add_one(caches["default"], key, window)
    if count is None and or_in_process:
        count = _add_one(caches["process"], key, window)
    if count is None or count <= limit:
        return 0
    return math.ceil(window - now % window) or 1


def _add_one(cache: BaseCache, key: str, window: int) -> int | None:
    """Return the count with this one, None while the cache is away. Only atomic steps: no two callers get the same."""
    # Longer than the window, because the clocks of two machines differ.
    timeout = window + 60
    try:
        return cache.incr(key)
    except ValueError:
        if cache.add(key, 1, timeout):
            return 1
    try:
        return cache.incr(key)
    except ValueError:
        return None
