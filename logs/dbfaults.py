"""What a database error means: try again, come back later, or a fault of ours."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

from django.db import Error, InterfaceError, OperationalError

MAX_ATTEMPTS = 5
FIRST_DELAY_SECONDS = 0.02

Result = TypeVar("Result")

# https://www.postgresql.org/docs/current/errcodes-appendix.html
_SERIALIZATION_FAILURE, _DEADLOCK = "40001", "40P01"
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
    code = _sqlstate(error)
    return code[:2] in _UNAVAILABLE_CLASSES or code in _UNAVAILABLE_CODES


def is_broken_connection(error: Error) -> bool:
    """Whether the connection ended, so that the outcome of what was running is not known.

    Without a code nobody heard from the server; a server that is told to stop says so with a 57P01.
    """
    is_postgresql = hasattr(error.__cause__, "pgcode")
    return is_postgresql and (not _sqlstate(error) or _sqlstate(error).startswith(("08", "57P")))


def is_about_nul(error: ValueError) -> bool:
    """Whether psycopg2 refused a text that holds U+0000, such as one from a cookie, before PostgreSQL could see it."""
    return "NUL (0x00)" in str(error)


def kind_of(error: Error) -> str:
    """The name of an error for a log line: its own text may quote data."""
    return type(error.__cause__ or error).__name__


def retried(work: Callable[[], Result]) -> Result:
    """Do a transaction's work, again when the database chose it as the victim of a deadlock or of serialization.

    Raises what the work raises; after MAX_ATTEMPTS also those two.
    """
    for attempt in range(1, MAX_ATTEMPTS):
        try:
            return work()
        except OperationalError as error:
            if _sqlstate(error) not in (_SERIALIZATION_FAILURE, _DEADLOCK):
                raise
        # At random, so that two victims don't meet again.
        time.sleep(random.uniform(0.5, 1) * FIRST_DELAY_SECONDS * 2**attempt)  # noqa: S311
    return work()


def _sqlstate(error: Error) -> str:
    return getattr(error.__cause__, "pgcode", None) or ""
