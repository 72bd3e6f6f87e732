"""Log lines: for people or as JSON, with the id of the request they belong to, and without anything personal.

What a message, an exception or a record's extras say may come from a request, so that a line never holds the text of an
exception (a database quotes rows in it), Django's own words about a request (they quote its path, Host, Origin and
Referer), nor extras other than the ones named here (Django adds the request itself).
"""

from __future__ import annotations

import copy
import json
import logging
import re
import sys
import time
import traceback
from contextvars import ContextVar
from http.client import responses
from types import TracebackType

REQUEST_EXTRAS = ("method", "path", "status", "duration_ms")

NO_REQUEST = "-"
# The request that this thread serves.
request_id: ContextVar[str] = ContextVar("request_id", default=NO_REQUEST)

_hide_keys = re.compile(r"ls_[0-9a-f]{12}_[A-Za-z0-9_-]+").sub


class ConsoleFormatter(logging.Formatter):
    """`TIME LEVEL LOGGER [REQUEST ID] MESSAGE`, times in UTC; the frames of an exception on the lines after it."""

    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def __init__(self) -> None:
        super().__init__("{asctime} {levelname} {name} [{request_id}] {message}", style="{")

    def format(self, record: logging.LogRecord) -> str:
        record.request_id = request_id.get()
        # Another handler may have left the exception's text here.
        record.exc_text = None
        return _hide_keys("ls_...", super().format(_without_refusal(record)))

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        record.message = _message(record)
        return super().formatMessage(record)

    def formatException(  # noqa: N802  logging's own name
        self, ei: tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
    ) -> str:
        """Return the frames and types of an exception and of those that led to it, without what they say."""
        lines: list[str] = []
        error = ei[1]
        while error is not None:
            frames = "".join(traceback.format_tb(error.__traceback__))
            state = getattr(error, "pgcode", None)
            lines.append(f"{frames}{type(error).__module__}.{type(error).__qualname__}{f' {state}' if state else ''}")
            error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        return "\nfollowed by\n".join(reversed(lines))


class JSONFormatter(ConsoleFormatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": self.formatTime(record),
            "level": record.levelname,
            "logger": record.name,
            "request_id": request_id.get(),
            "message": _message(record),
        }
        line |= {name: vars(record)[name] for name in REQUEST_EXTRAS if name in vars(record)}
        told = _without_refusal(record)
        if told.exc_info:
            line["exception"] = self.formatException(told.exc_info)
        return _hide_keys("ls_...", json.dumps(line))


FORMATTERS = {"console": ConsoleFormatter, "json": JSONFormatter}


def _without_refusal(record: logging.LogRecord) -> logging.LogRecord:
    """Return a record without the exception that says no to a caller: scanners cause many, and none is a fault."""
    if not _is_refusal(record):
        return record
    told = copy.copy(record)
    told.exc_info = None
    return told


def _is_refusal(record: logging.LogRecord) -> bool:
    return record.name.rpartition(".")[0] == "django.security"


def _message(record: logging.LogRecord) -> str:
    """Return the message; where Django speaks of a request, only what it would say of any such request."""
    if record.name == "django.security.csrf" and isinstance(record.args, tuple) and record.args:
        # "Referer checking failed - https://... does not match any trusted origins."
        return f"Forbidden: {str(record.args[0]).partition(' - ')[0]}"
    if _is_refusal(record):
        return f"Refused: {record.name.rpartition('.')[2]}"
    if hasattr(record, "request") and hasattr(record, "status_code"):
        return responses.get(record.status_code, str(record.status_code))
    return record.getMessage()


class WithoutRequests(logging.Filter):
    """Cuts the client's address, the query and the text of a broken request out of gunicorn's own lines."""

    def filter(self, record: logging.LogRecord) -> bool:
        message = str(record.msg)
        if message.startswith("Invalid request"):
            error = sys.exc_info()[0]
            record.msg, record.args = f"Invalid request: {error.__name__ if error else 'unknown'}", ()
        elif message.startswith("Error handling request"):
            record.msg, record.args = "Error handling a request", ()
        return True
