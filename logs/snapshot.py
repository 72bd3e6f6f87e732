"""Reads that all see the database as it was at one moment."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection, transaction

from logs.timeouts import snapshot_limits


@contextmanager
def snapshot() -> Iterator[None]:
    """Run the queries of the block against one snapshot, without holding up any writer.

    https://www.postgresql.org/docs/current/transaction-iso.html#XACT-REPEATABLE-READ and
    https://www.sqlite.org/isolation.html. Within a transaction that is already open, that transaction's view holds.
    """
    if connection.in_atomic_block:
        yield
    elif connection.vendor == "postgresql":
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute(f"SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY; {snapshot_limits()}")
            try:
                yield
            finally:
                # There is nothing to commit; and Django gives a connection that broke up only when it rolls back.
                transaction.set_rollback(True)
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
