"""What differs between the databases: what their errors mean, how they keep text, what their SQL is called."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import psycopg2
from django.db import DatabaseError, Error, InterfaceError, OperationalError, connection
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper

# https://www.postgresql.org/docs/current/errcodes-appendix.html
# Connections, resources, locks and limits, the operator's doing, the system; all but a few are OperationalErrors.
_UNAVAILABLE_CLASSES = {"08", "40", "53", "55", "57", "58"}
_UNAVAILABLE_CODES = {
    "25006",  # read-only: a standby, or a server that was switched to read-only
    "25P03",  # idle in transaction for too long
    "25P04",  # a transaction that took too long
}
NOT_MIGRATED = "The database lacks migrations: run `python manage.py migrate`."


def is_made() -> bool:
    """Return whether the database may exist. To ask SQLite itself would create the file."""
    return connection.vendor != "sqlite" or Path(connection.settings_dict["NAME"]).exists()


def encoding() -> str:
    """Return the name of the encoding that the database keeps text in.

    Raises django.db.Error when the database is away.
    """
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA encoding" if connection.vendor == "sqlite" else "SHOW server_encoding")
        return str(cursor.fetchone()[0])


def lacks_migrations(error: Error) -> bool:
    """Return whether an error says that a table or a column is not there: a migration has not been applied."""
    if connection.vendor == "sqlite":
        return str(error).startswith(("no such table", "no such column"))
    return sqlstate(error) in ("42P01", "42703")


def explain(error: Error) -> str:
    """Return what an operator is to do about an error of the database, in a sentence or two.

    Not for a client, nor for a log line of a request: it may name hosts, users and files.
    """
    if lacks_migrations(error):
        return NOT_MIGRATED
    reason = str(error).strip().partition("\n")[0].removesuffix(".")
    if connection.vendor == "sqlite":
        return f"The SQLite file {connection.settings_dict['NAME']} can't be used: {reason}."
    return (
        f"PostgreSQL can't be used: {reason}. Is DATABASE_URL right, was the database made (createdb), and does the"
        " server run?"
    )


def is_unavailable(error: Error) -> bool:
    """Return whether an error says that the database is away, full, read-only or too busy, not that we are wrong."""
    if isinstance(error, OperationalError | InterfaceError) or is_broken_connection(error):
        return True
    code = sqlstate(error)
    return code[:2] in _UNAVAILABLE_CLASSES or code in _UNAVAILABLE_CODES


def is_broken_connection(error: Error) -> bool:
    """Return whether the connection ended, so that the outcome of what was running is not known.

    Without a code nobody heard from the server; a server that is told to stop says so with a 57P01. Of a network that
    fell silent in the middle of an answer psycopg2 says nothing more than that there was an error. What is not fatal
    ended no connection of ours: so a coordinator tells of a worker that is away.
    """
    cause = error.__cause__
    if not isinstance(cause, psycopg2.Error):
        return False
    if sqlstate(error):
        return sqlstate(error).startswith(("08", "57P")) and cause.diag.severity_nonlocalized != "ERROR"
    return isinstance(error, OperationalError | InterfaceError) or type(error) is DatabaseError


def is_about_nul(error: ValueError) -> bool:
    """Return whether psycopg2 refused a text that holds U+0000, such as one from a cookie."""
    return "NUL (0x00)" in str(error)


def kind_of(error: Error) -> str:
    """Return the name of an error for a log line: its own text may quote data."""
    return type(error.__cause__ or error).__name__


def sqlstate(error: Error) -> str:
    return getattr(error.__cause__, "pgcode", None) or ""


# What is known of each connection to PostgreSQL: whether a pooler lends it, and the statements that it has prepared.
_pooled: WeakKeyDictionary[Any, bool] = WeakKeyDictionary()
_prepared: WeakKeyDictionary[Any, dict[str, str]] = WeakKeyDictionary()
_numbers = itertools.count()


def is_pooled(connection: BaseDatabaseWrapper) -> bool:
    """Return whether a pooler stands between: it has announced another process id than PostgreSQL's."""
    raw = connection.connection
    if raw not in _pooled:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            _pooled[raw] = cursor.fetchone()[0] != raw.get_backend_pid()
    return _pooled[raw]


def execute_prepared(cursor: CursorWrapper, statement: str, parameters: Sequence[Any], first: str = "") -> None:
    """Execute a statement that PostgreSQL keeps prepared for the connection, unless a pooler stands between.

    statement: with a %s for each parameter, whose type it says: `SELECT %s::bigint`.
    first: a statement to execute right before, on the same trip to the server and in the same transaction.
    """
    connection.ensure_connection()
    before = f"{first}; " if first else ""
    if is_pooled(connection):
        cursor.execute(f"{before}{statement}", parameters)
        return
    names = _prepared.setdefault(connection.connection, {})
    name = names.get(statement)
    if name is None:
        # New each time: one that was interrupted may be prepared without being known here.
        name = f"logstore_{next(_numbers)}"
        numbers = (f"${number}" for number in range(1, len(parameters) + 1))
        cursor.execute(f"PREPARE {name} AS {re.sub('%s', lambda _: next(numbers), statement)}")
        names[statement] = name
    cursor.execute(f"{before}EXECUTE {name} ({', '.join(['%s'] * len(parameters))})", parameters)


def values_table(rows: Sequence[Sequence[str | int]]) -> tuple[str, list[str | int]]:
    """Return SQL for a table of some rows, to stand in `WITH name (columns) AS (…)`, and its parameters.

    Read by `IN (SELECT … FROM name)`: right after IN, SQLite would use no index for it.

    rows: one or more, of equal lengths; on SQLite at most 32,766 values in all. https://www.sqlite.org/limits.html

    >>> values_table([("ABC", 1), ("DEF", 2)])
    ('VALUES (%s, %s), (%s, %s)', ['ABC', 1, 'DEF', 2])
    """
    row = f"({', '.join(['%s'] * len(rows[0]))})"
    return f"VALUES {', '.join([row] * len(rows))}", [value for row in rows for value in row]


def day_of(time: str) -> str:
    """Return SQL for the day (UTC) of a time; SQLite keeps both as text.

    time: SQL for the time.
    """
    return f"({time} AT TIME ZONE 'UTC')::date" if connection.vendor == "postgresql" else f"substr({time}, 1, 10)"


def microseconds_between(start: str, end: str) -> str:
    """Return SQL, for a query with parameters, for how many microseconds lie between two times.

    start, end: SQL for the times.
    """
    if connection.vendor == "postgresql":
        # As a float8, which is exact for sixty years; extract() makes a numeric, which is slower.
        return f"(date_part('epoch', {end} - {start}) * 1000000)::bigint"
    return f"({_microseconds(end)} - {_microseconds(start)})"


def _microseconds(time: str) -> str:
    # SQLite keeps a time as text in UTC, with no or six digits of a fraction.
    second, fraction = f"strftime('%%s', substr({time}, 1, 19))", f"substr({time}, 21)"
    return f"(CAST({second} AS INTEGER) * 1000000 + CAST({fraction} AS INTEGER))"
