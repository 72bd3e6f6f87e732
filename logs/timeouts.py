"""How long PostgreSQL may work or wait for a request: set for a session, or for each transaction behind a pooler.

A pooler in transaction mode, such as PgBouncer, refuses `options` at the start of a connection, and what a session sets
there stays behind for whoever is lent that connection next. So a direct connection is limited once, when it is made,
and behind a pooler the store's transactions limit themselves.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import connection
from django.db.backends.base.base import BaseDatabaseWrapper


def limit_session(connection: BaseDatabaseWrapper, **kwargs: Any) -> None:
    """Limit a new connection, unless it is a pooler's.

    A receiver of connection_created, in the processes that serve requests: a command may take its time.
    """
    connection.is_limited = connection.vendor == "postgresql" and not _is_pooled(connection)
    if connection.is_limited:
        with connection.cursor() as cursor:
            cursor.execute(_limits("SET"))


def limit_transaction() -> None:
    """Limit the transaction that is open, where its session is not limited."""
    if connection.vendor == "postgresql" and not getattr(connection, "is_limited", False):
        with connection.cursor() as cursor:
            cursor.execute(_limits("SET LOCAL"))


def snapshot_limits() -> str:
    """The SQL that limits a transaction that an answer is read from.

    It may be idle for as long as a slow client takes for what it was sent: the server gives up one that stalls.
    """
    return _limits("SET LOCAL", idle_seconds=0)


def _limits(command: str, idle_seconds: float | None = None) -> str:
    seconds = {
        "statement_timeout": settings.LOGSTORE_STATEMENT_TIMEOUT,
        "lock_timeout": settings.LOGSTORE_LOCK_TIMEOUT,
        "idle_in_transaction_session_timeout": (
            settings.LOGSTORE_IDLE_TRANSACTION_TIMEOUT if idle_seconds is None else idle_seconds
        ),
    }
    return "; ".join(f"{command} {name} = {int(limit * 1000)}" for name, limit in seconds.items())


def _is_pooled(connection: BaseDatabaseWrapper) -> bool:
    """Whether something else stands in for PostgreSQL: it then made up the process id that it greeted us with."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return cursor.fetchone()[0] != connection.connection.get_backend_pid()
