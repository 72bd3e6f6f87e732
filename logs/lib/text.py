"""English for numbers of things, and texts of users made harmless for whoever reads them."""

from __future__ import annotations

import re

# Those that change the direction or the lines of the text around them, or can't be seen.
_CONTROLS = re.compile("[\0-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff]")


def count_of(number: int, noun: str, plural: str = "") -> str:
    """Return a number of things in words: count_of(1, "log") is "1 log", count_of(2000, "log") is "2,000 logs".

    plural: the noun for any number but 1, where an s alone does not make it.
    """
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def visible(text: str) -> str:
    """Return a text with its control characters as JSON writes them: `\\u202e`. charts.js does the same."""
    return _CONTROLS.sub(lambda control: f"\\u{ord(control[0]):04x}", text)


def shortened(text: str, length: int) -> str:
    """Return the beginning and the end of a text that is longer than so many characters. charts.js does the same."""
    kept = (length - 1) // 2
    return text if len(text) <= length else f"{text[:kept]}…{text[-kept:]}"
