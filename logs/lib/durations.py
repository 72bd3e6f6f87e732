"""Lengths of time as people write them in settings and at the command line: 30s, 5m, 1h, 90d, 4w."""

from __future__ import annotations

import argparse
import re
from datetime import timedelta

UNITS = {
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}

_match = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)([smhdw])", re.ASCII).fullmatch


def parse_duration(text: str) -> timedelta:
    """Return the length of time that a number and a unit name.

    Raises ValueError for any other text, and for more time than a timedelta holds.

    >>> parse_duration("90d")
    datetime.timedelta(days=90)
    """
    match = _match(text)
    if match is None:
        raise ValueError("not a duration")
    try:
        return float(match[1]) * UNITS[match[2]]
    except OverflowError:
        raise ValueError("too long a duration") from None


def duration_argument(text: str) -> timedelta:
    """Return the duration of a command's argument, which is longer than nothing."""
    try:
        duration = parse_duration(text)
    except ValueError:
        duration = timedelta(0)
    if not duration:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number and s, m, h, d or w, such as 12h or 90d")
    return duration
