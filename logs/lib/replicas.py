"""Reading from PostgreSQL's streaming replicas, where there are any that are up to date.

A thread of each process for each replica looks now and then how far that has replayed; no request waits for it. A
replica is up to date when it has replayed what the primary had written LOGSTORE_REPLICA_MAX_LAG ago. By itself it can't
know that: while the network between the two is cut it has replayed all that it got.
https://www.postgresql.org/docs/current/functions-admin.html#FUNCTIONS-RECOVERY-CONTROL
"""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, Error, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model

from logs.lib import metrics
from logs.lib.database import is_unavailable

Result = TypeVar("Result")

_LONGEST_PAUSE = 1.0
_FIRST_LOOKS, _FIRST_PAUSE = 5, 0.05

# The database that the work at hand reads from.
_alias: ContextVar[str] = ContextVar("alias", default=DEFAULT_DB_ALIAS)


class ReplicaRouter:
    """Sends the ORM's reads to where read() says, and everything else to the primary."""

    def db_for_read(self, model: type[Model], **hints: Any) -> str:
        return _alias.get()

    def db_for_write(self, model: type[Model], **hints: Any) -> str:
        return DEFAULT_DB_ALIAS

    def allow_relation(self, *args: Any, **hints: Any) -> bool:
        return True

    def allow_migrate(self, db: str, *args: Any, **hints: Any) -> bool:
        return db == DEFAULT_DB_ALIAS


def read(work: Callable[[], Result], is_current: bool = False) -> Result:
    """Return what some work reads from a replica that is up to date; from the primary where there is none.

    work: reads through the ORM or reading_connection(), and writes nothing. It is begun again on the next server where
    one fails it, so it must not have given anything away before it returns.
    is_current: it must see all that is committed, so the primary is asked.
    Raises what the work raises on the primary.
    """
    if not settings.LOGSTORE_REPLICAS:
        return work()
    for replica in [] if is_current else _fit():
        try:
            with _reading_from(replica.alias):
                result = work()
        except Error as error:
            if not is_unavailable(error):
                raise
            # Until it is looked at again.
            replica.fit_until = 0.0
            connections[replica.alias].close()
        else:
            metrics.READS.labels(replica.alias).inc()
            return result
    result = work()
    metrics.READS.labels("primary").inc()
    return result


def reading_connection() -> BaseDatabaseWrapper:
    """Return the connection of this thread to the database that the work at hand reads from."""
    return connections[_alias.get()]


@contextmanager
def _reading_from(alias: str) -> Iterator[None]:
    token = _alias.set(alias)
    try:
        yield
    finally:
        _alias.reset(token)


class _Replica:
    """A replica, and until when it is up to date: a thread of its own looks."""

    def __init__(self, alias: str) -> None:
        self.alias = alias
        self.fit_until = 0.0
        self._max_lag: float = settings.LOGSTORE_REPLICA_MAX_LAG
        # When the primary had written how much, oldest first.
        self._written: deque[tuple[float, int]] = deque()
        # Now, because a command reads but once; and again, because its own last write may be on its way.
        for _ in range(_FIRST_LOOKS):
            if self._look():
                break
            time.sleep(_FIRST_PAUSE)
        threading.Thread(target=self._run, name=alias, daemon=True).start()

    def _run(self) -> None:
        while True:
            time.sleep(min(_LONGEST_PAUSE, self._max_lag / 4))
            self._look()

    def _look(self) -> bool:
        """Look how far it has replayed; return False where it is there and only a little behind."""
        now = time.monotonic()
        written, replayed = _number(DEFAULT_DB_ALIAS, _WRITTEN), _number(self.alias, _REPLAYED)
        if written is not None:
            self._written.append((now, written))
        while self._written and now - self._written[0][0] > self._max_lag:
            self._written.popleft()
        moments = [moment for moment, position in self._written if replayed is not None and position <= replayed]
        self.fit_until = moments[-1] + self._max_lag if moments else 0.0
        return bool(moments) or written is None or replayed is None


_making = threading.Lock()
_turns = itertools.count()
# By the process that looks: one that was forked has threads of its own to start.
_replicas: dict[int, list[_Replica]] = {}

# Bytes of the write-ahead log. Where a replica was promoted, or a primary is named as one, there is nothing to compare.
_WRITTEN = "SELECT CASE WHEN NOT pg_is_in_recovery() THEN pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0') END"
_REPLAYED = "SELECT CASE WHEN pg_is_in_recovery() THEN pg_wal_lsn_diff(pg_last_wal_replay_lsn(), '0/0') END"


def _fit() -> list[_Replica]:
    """Return the replicas that are up to date, each time another one first."""
    process = os.getpid()
    # Whoever comes while another one looks for the first time does not wait.
    if process not in _replicas and _making.acquire(blocking=False):
        try:
            if process not in _replicas:
                _replicas[process] = [_Replica(alias) for alias in settings.LOGSTORE_REPLICAS]
        finally:
            _making.release()
    now = time.monotonic()
    fit = [replica for replica in _replicas.get(process, ()) if now < replica.fit_until]
    turn = next(_turns) % len(fit) if fit else 0
    return fit[turn:] + fit[:turn]


def _number(alias: str, query: str) -> int | None:
    connection = connections[alias]
    try:
        connection.close_if_unusable_or_obsolete()
        with connection.cursor() as cursor:
            cursor.execute(query)
            number = cursor.fetchone()[0]
            return None if number is None else int(number)
    except Error:
        connection.close()
        return None
