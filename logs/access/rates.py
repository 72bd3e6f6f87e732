"""How often somebody may do something: fixed windows, counted in a cache."""

from __future__ import annotations

import functools
import math
import re
import time
from dataclasses import dataclass

from django.core.cache import caches
from django.core.cache.backends.base import BaseCache

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_match_rate = re.compile(r"([1-9][0-9]{0,8})/([smhd])").fullmatch


@dataclass(frozen=True)
class Rate:
    """So many times in every window of so many seconds, windows being counted from 1970."""

    count: int
    seconds: int

    @classmethod
    @functools.cache
    def parse(cls, text: str) -> Rate | None:
        """Return the rate of a text such as `100/m` (s, m, h or d), None for an empty one: no limit.

        Raises ValueError for any other text.
        """
        if not text:
            return None
        match = _match_rate(text)
        if match is None:
            raise ValueError("A rate is a number, a slash and s, m, h or d: 100/m.")
        return cls(int(match[1]), _SECONDS[match[2]])


def seconds_to_wait(what: str, who: str, rate: Rate, *, or_in_process: bool = False) -> int:
    """Count one more time and return 0 while that is within the rate, otherwise the seconds until the next window.

    Every process counts in the same place if they share a cache. While that is away nothing is over the rate; with
    or_in_process each process then counts by itself.
    """
    now = time.time()
    key = f"rate:{what}:{who}:{rate.seconds}:{int(now // rate.seconds)}"
    count = _add_one(caches["default"], key, rate.seconds)
    if count is None and or_in_process:
        count = _add_one(caches["process"], key, rate.seconds)
    if count is None or count <= rate.count:
        return 0
    return math.ceil(rate.seconds - now % rate.seconds) or 1


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
