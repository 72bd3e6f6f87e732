"""Waiting for actions that are not stored yet, without a connection to the database."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings
from django.db import connection

# In seconds: what other processes store is seen by looking.
LOOK_EVERY = 0.5


class _Arrivals:
    """Who waits in this process, and that something was stored in it."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._waiting = 0
        # How often something was stored while somebody waited.
        self.count = 0
        self.is_stopping = False

    def tell(self) -> None:
        """Wake all who wait: something was stored."""
        # Without the lock: a writer must not wait for it where nobody else does.
        if self._waiting:
            with self._condition:
                self.count += 1
                self._condition.notify_all()

    @contextmanager
    def place(self) -> Iterator[bool]:
        """Take one of the places of those who wait, and yield whether there was one."""
        with self._condition:
            has_place = self._waiting < settings.LOGSTORE_MAX_WAITING
            self._waiting += has_place
        try:
            yield has_place
        finally:
            with self._condition:
                self._waiting -= has_place

    def wait(self, count: int, seconds: float) -> None:
        """Return when something was stored since there was a count, or it is time to look."""
        if not connection.in_atomic_block:
            connection.close()
        with self._condition:
            self._condition.wait_for(lambda: self.count != count or self.is_stopping, min(seconds, LOOK_EVERY))


arrivals = _Arrivals()
