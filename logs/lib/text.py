"""English for numbers of things."""

from __future__ import annotations


def count_of(number: int, noun: str, plural: str = "") -> str:
    """Return a number of things in words: count_of(1, "log") is "1 log", count_of(2000, "log") is "2,000 logs".

    plural: the noun for any number but 1, where an s alone does not make it.
    """
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"
