"""Locks that a process holds for as long as it works, and loses when it dies."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import closing, contextmanager

from django.db import connection


@contextmanager
def only_one(name: str) -> Iterator[bool]:
    """Hold the database's lock of a name, and yield whether it was free.

    Raises django.db.Error when the database is away.
    """
    if connection.vendor == "postgresql":
        # A connection and a transaction of its own: a pooler lends no other session before that ends, and nothing that
        # becomes of the work's own connection lets go of the lock.
        # https://www.postgresql.org/docs/current/explicit-locking.html#ADVISORY-LOCKS
        with closing(connection.copy()) as session:
            session.set_autocommit(False)
            with session.cursor() as cursor:
                # A limit of the server's on idle transactions would let go of it.
                cursor.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
                cursor.execute("SELECT pg_try_advisory_xact_lock(hashtext('logs'), hashtext(%s))", [name])
                [is_free] = cursor.fetchone()
            try:
                yield is_free
            finally:
                # When a connection is closed, PostgreSQL learns of it a moment later.
                session.rollback()
        return
    # Never the database's own file: to close it would give up SQLite's locks on it.
    # https://www.sqlite.org/howtocorrupt.html#_posix_advisory_locks_canceled_by_a_separate_thread_doing_close_
    with open(f"{connection.settings_dict['NAME']}-{name}-lock", "ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
