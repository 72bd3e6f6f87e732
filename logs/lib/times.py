"""The format of a time on the wire, both ways: the one place that knows `-06:00`."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

from django.conf import settings

WIRE_ZONE = timezone(timedelta(hours=-6))

_CLOCK = r"\d{4}-\d\d-\d\dT([01]\d|2[0-3]):[0-5]\d:[0-5]\d"
_is_exact = re.compile(_CLOCK + "-06:00", re.ASCII).fullmatch
# https://www.rfc-editor.org/rfc/rfc3339#section-5.6; microseconds are what the databases keep.
_is_rfc3339 = re.compile(_CLOCK + r"(\.\d{1,6})?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)", re.ASCII | re.IGNORECASE).fullmatch


def parse_time(text: str) -> datetime:
    """Return the instant, in UTC, that a time on the wire names.

    text: `YYYY-MM-DDThh:mm:ss-06:00`; with LOGSTORE_ANY_OFFSET any RFC 3339 date-time.
    Raises ValueError for another format, a day or second no calendar has, or an instant outside the years 1 to 9999.
    """
    is_time = _is_rfc3339 if settings.LOGSTORE_ANY_OFFSET else _is_exact
    if not is_time(text):
        raise ValueError("not a time")
    try:
        instant = datetime.fromisoformat(text.upper()).astimezone(UTC)
        if settings.LOGSTORE_ANY_OFFSET:
            # What will be written back must exist, too.
            instant.astimezone(WIRE_ZONE)
    except OverflowError:
        raise ValueError("an instant that the store can't hold") from None
    return instant


def format_time(instant: datetime) -> str:
    """Return an aware datetime as the wire writes it: with `-06:00`, a fraction only where there is one."""
    return instant.astimezone(WIRE_ZONE).isoformat()
