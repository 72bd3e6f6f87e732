"""Transactions: one snapshot for many queries, retries, and for how long PostgreSQL may work or wait for a request.

A process that serves requests connects limit_session to Django's signal connection_created; a command does not, and may
take its time. A pooler in transaction mode, such as PgBouncer, refuses `options` at the start of a connection, and what
a session sets there stays behind for whoever is lent that connection next. So a direct connection is limited once, when
it is made, and behind a pooler the store's transactions limit themselves.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar
from weakref import WeakSet

from django.conf import settings
from django.db import OperationalError, connection, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from logs.lib.database import is_pooled, sqlstate
from logs.lib.replicas import reading_connection

MAX_ATTEMPTS = 5
FIRST_DELAY_SECONDS = 0.02

Result = TypeVar("Result")

_SERIALIZATION_FAILURE, _DEADLOCK = "40001", "40P01"

# The driver's connections to PostgreSQL that have limits: those of a process that serves.
_limited: WeakSet[Any] = WeakSet()


@contextmanager
def snapshot() -> Iterator[None]:
    """Run the queries of the block against one snapshot of the database that is read from, without holding up a writer.

    https://www.postgresql.org/docs/current/transaction-iso.html#XACT-REPEATABLE-READ and
    https://www.sqlite.org/isolation.html. Within a transaction that is already open, that transaction's view holds.
    """
    connection = reading_connection()
    if connection.in_atomic_block:
        yield
    elif connection.vendor == "postgresql":
        with transaction.atomic(using=connection.alias):
            with connection.cursor() as cursor:
                cursor.execute(
                    "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY; " + _snapshot_limits(connection)
                )
            try:
                yield
            finally:
                # There is nothing to commit; and Django gives a connection that broke up only when it rolls back.
                transaction.set_rollback(True, using=connection.alias)
    else:
        # Not atomic(): the connection's transactions are immediate, which would lock writers out.
        with connection.cursor() as cursor:
            cursor.execute("BEGIN DEFERRED")
        try:
            yield
        finally:
            # Some errors have ended it already: https://www.sqlite.org/lang_transaction.html
            if connection.connection is not None and connection.connection.in_transaction:
                with connection.cursor() as cursor:
                    cursor.execute("ROLLBACK")


def retried(work: Callable[[], Result]) -> Result:
    """Do a transaction's work, again when the database chose it as the victim of a deadlock or of serialization.

    Raises what the work raises; after MAX_ATTEMPTS also those two.
    """
    for attempt in range(1, MAX_ATTEMPTS):
        try:
            return work()
        except OperationalError as error:
            if sqlstate(error) not in (_SERIALIZATION_FAILURE, _DEADLOCK):
                raise
        # At random, so that two victims don't meet again.
        time.sleep(random.uniform(0.5, 1) * FIRST_DELAY_SECONDS * 2**attempt)  # noqa: S311
    return work()


def limit_session(connection: BaseDatabaseWrapper, **kwargs: Any) -> None:
    """Limit a new connection to PostgreSQL, or note that its transactions are to be limited where it is a pooler's.

    A receiver of connection_created.
    """
    if connection.vendor != "postgresql":
        return
    _limited.add(connection.connection)
    if not is_pooled(connection):
        with connection.cursor() as cursor:
            cursor.execute(
                "; ".join([_limits("SET", settings.LOGSTORE_IDLE_TRANSACTION_TIMEOUT), *_keepalives(connection)])
            )


def needs_limits() -> bool:
    """Return whether a transaction must be limited by itself: on a pooler's connection, in a process that serves."""
    if connection.vendor != "postgresql":
        return False
    connection.ensure_connection()
    return connection.connection in _limited and is_pooled(connection)


def limit_transaction() -> None:
    """Limit the transaction that is open, where it needs that."""
    if needs_limits():
        with connection.cursor() as cursor:
            cursor.execute(_limits("SET LOCAL", settings.LOGSTORE_IDLE_TRANSACTION_TIMEOUT))


def _snapshot_limits(connection: BaseDatabaseWrapper) -> str:
    if connection.connection not in _limited:
        return ""
    # It may be idle for as long as a slow client takes for what it was sent: the server gives up one that stalls.
    return _limits("SET LOCAL", 0)


def _keepalives(connection: BaseDatabaseWrapper) -> list[str]:
    """Return SQL that has PostgreSQL give up a store that fell silent as soon as the store gives up PostgreSQL.

    By itself it keeps such a session for two hours, and has no room for the connections that come in its place.
    https://www.postgresql.org/docs/current/runtime-config-connection.html#RUNTIME-CONFIG-TCP-SETTINGS
    """
    options = connection.settings_dict["OPTIONS"]
    names = {
        "tcp_user_timeout": "tcp_user_timeout",
        "keepalives_idle": "tcp_keepalives_idle",
        "keepalives_interval": "tcp_keepalives_interval",
        "keepalives_count": "tcp_keepalives_count",
    }
    return [f"SET {ours} = {int(options[libpqs])}" for libpqs, ours in names.items() if libpqs in options]


def _limits(command: str, idle_seconds: float) -> str:
    seconds = {
        "statement_timeout": settings.LOGSTORE_STATEMENT_TIMEOUT,
        "lock_timeout": settings.LOGSTORE_LOCK_TIMEOUT,
        "idle_in_transaction_session_timeout": idle_seconds,
    }
    return "; ".join(f"{command} {name} = {int(limit * 1000)}" for name, limit in seconds.items())
