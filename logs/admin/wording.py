"""How the admin's pages and charts say numbers and lengths of time."""

from __future__ import annotations

from datetime import timedelta


def counted(count: int, noun: str) -> str:
    """Say how many of something there are: `1 click`, `1,200 clicks`.

    noun: in the singular; its plural ends in s.
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def duration(span: timedelta) -> str:
    """Say a length of time in its two largest units: `2 h 5 min`."""
    seconds = span.total_seconds()
    if seconds < 60:
        return f"{seconds:.3f}".rstrip("0").rstrip(".") + " s"
    parts = []
    for name, length in (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        amount, seconds = divmod(int(seconds), length)
        if amount:
            parts.append(f"{amount:,} {name}")
    return " ".join(parts[:2])
