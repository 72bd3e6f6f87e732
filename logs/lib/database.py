"""What a database error means: try again, come back later, or a fault of ours."""

from __future__ import annotations

from collections.abc import Sequence

from django.db import Error, InterfaceError, OperationalError

# https://www.postgresql.org/docs/current/errcodes-appendix.html
# Connections, resources, locks and limits, the operator's doing, the system; all but a few are OperationalErrors.
_UNAVAILABLE_CLASSES = {"08", "40", "53", "55", "57", "58"}
_UNAVAILABLE_CODES = {
    "25006",  # read-only: a standby, or a server that was switched to read-only
    "25P03",  # idle in transaction for too long
    "25P04",  # a transaction that took too long
}


def is_unavailable(error: Error) -> bool:
    """Whether a database error says that the database is away, full, read-only or too busy, not that we are wrong."""
    if isinstance(error, OperationalError | InterfaceError):
        return True
    code = sqlstate(error)
    return code[:2] in _UNAVAILABLE_CLASSES or code in _UNAVAILABLE_CODES


def is_broken_connection(error: Error) -> bool:
    """Whether the connection ended, so that the outcome of what was running is not known.

    Without a code nobody heard from the server; a server that is told to stop says so with a 57P01.
    """
    is_postgresql = hasattr(error.__cause__, "pgcode")
    return is_postgresql and (not sqlstate(error) or sqlstate(error).startswith(("08", "57P")))


def is_about_nul(error: ValueError) -> bool:
    """Whether psycopg2 refused a text that holds U+0000, such as one from a cookie, before PostgreSQL could see it."""
    return "NUL (0x00)" in str(error)


def kind_of(error: Error) -> str:
    """The name of an error for a log line: its own text may quote data."""
    return type(error.__cause__ or error).__name__


def sqlstate(error: Error) -> str:
    return getattr(error.__cause__, "pgcode", None) or ""


def values_table(rows: Sequence[Sequence[str | int]]) -> tuple[str, list[str | int]]:
    """Return SQL for a table of some rows, to stand in `WITH name (columns) AS (…)`, and its parameters.

    Read by `IN (SELECT … FROM name)`: right after IN, SQLite would use no index for it.

    rows: one or more, of equal lengths; on SQLite at most 32,766 values in all. https://www.sqlite.org/limits.html

    >>> values_table([("ABC", 1), ("DEF", 2)])
    ('VALUES (%s, %s), (%s, %s)', ['ABC', 1, 'DEF', 2])
    """
    row = f"({', '.join(['%s'] * len(rows[0]))})"
    return f"VALUES {', '.join([row] * len(rows))}", [value for row in rows for value in row]
