"""The format of a time on the wire, both ways: the one place that knows `-06:00`; and in what commands list."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache

from django.conf import settings

from logs.lib.errors import ErrorCode

WIRE_ZONE = timezone(timedelta(hours=-6))

_CLOCK = r"\d{4}-\d\d-\d\dT([01]\d|2[0-3]):[0-5]\d:[0-5]\d"
_is_exact = re.compile(_CLOCK + "-06:00", re.ASCII).fullmatch
_OFFSET = r"(Z|[+-]([01]\d|2[0-3]):[0-5]\d)"
# Microseconds are what the databases keep.
_FRACTION_DIGITS = 6
# https://www.rfc-editor.org/rfc/rfc3339#section-5.6
_is_rfc3339 = re.compile(rf"{_CLOCK}(\.\d{{1,{_FRACTION_DIGITS}}})?{_OFFSET}", re.ASCII | re.IGNORECASE).fullmatch
_find_parts = re.compile(
    rf"(?P<clock>{_CLOCK})(?P<fraction>\.\d+)?(?P<offset>{_OFFSET})?", re.ASCII | re.IGNORECASE
).fullmatch


def parse_time(text: str) -> datetime:
    """Return the instant, in UTC, that a time on the wire names.

    text: `YYYY-MM-DDThh:mm:ss-06:00`; with LOGSTORE_ANY_OFFSET any RFC 3339 date-time.
    Raises ValueError for another format, a day or second no calendar has, or an instant outside the years 1 to 9999.
    """
    return time_parser()(text)


def time_parser() -> Callable[[str], datetime]:
    """Return parse_time as the settings have it now: for many times, the settings are then asked once."""
    return _parse_any_offset if settings.LOGSTORE_ANY_OFFSET else _parse_exact


# What happens at a moment comes from many users: their times are the same.
@lru_cache(maxsize=10_000)
def _parse_exact(text: str) -> datetime:
    if not _is_exact(text):
        raise ValueError("not a time")
    return storable(datetime.fromisoformat(text))


@lru_cache(maxsize=10_000)
def _parse_any_offset(text: str) -> datetime:
    if not _is_rfc3339(text):
        raise ValueError("not a time")
    return storable(datetime.fromisoformat(text.upper()))


def storable(instant: datetime) -> datetime:
    """Return an aware datetime in UTC. Raises ValueError for an instant outside the years 1 to 9999, here or there."""
    try:
        # What will be written back must exist, too.
        instant.astimezone(WIRE_ZONE)
        return instant.astimezone(UTC)
    except OverflowError:
        raise ValueError("an instant that the store can't hold") from None


def why_refused(text: str) -> str:
    """Return the sentences for whoever wrote a text that parse_time refused.

    They show how the text's instant is written where it names one, as `2018-10-19T03:37:28.000Z` does, and nothing of
    any other text.
    """
    advice = _advice(text)
    return f"{ErrorCode.INVALID_TIME_FORMAT.sentence}{advice and ' '}{advice}"


def _advice(text: str) -> str:
    parts = _find_parts(text)
    if parts is None:
        return ""
    clock, fraction, offset = parts["clock"], parts["fraction"] or "", parts["offset"]
    if offset is None:
        return "The offset is missing."
    is_kept = settings.LOGSTORE_ANY_OFFSET
    try:
        instant = storable(datetime.fromisoformat(f"{clock}{fraction[: 1 + _FRACTION_DIGITS]}{offset}".upper()))
    except ValueError:
        return ""
    written = f"Write this instant as {format_time(instant if is_kept else instant.replace(microsecond=0))}"
    if is_kept:
        return f"{written}."
    keeps = f", which keeps {_FRACTION_DIGITS} digits of the fraction" if fraction.strip(".0") else ""
    return f"{written}, or set LOGSTORE_ANY_OFFSET=true{keeps}."


def format_time(instant: datetime) -> str:
    """Return an aware datetime as the wire writes it: with `-06:00`, a fraction only where there is one."""
    return instant.astimezone(WIRE_ZONE).isoformat()


def format_utc(instant: datetime) -> str:
    """Return an instant for operators, in UTC to the second: `2018-10-19T03:37:28Z`."""
    return f"{instant.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def format_received(instant: datetime) -> str:
    """Return when something was received as the wire writes it: in UTC, with microseconds."""
    return instant.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
