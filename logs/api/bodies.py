"""The body of a POST; the logs of a long one are decoded one by one, so that their values never fill the memory."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from logs.lib import jsontext
from logs.lib.jsontext import JSONValue
from logs.lib.limits import MAX_PROPERTIES_BYTES

# A text up to so long is decoded whole: dense as it may be, its values take a few megabytes. The longest properties
# that are taken are as long where each of their characters is escaped: \u0041 is an A.
SMALL_BYTES = 6 * MAX_PROPERTIES_BYTES


@dataclass(frozen=True)
class Undecodable:
    """Stands in a batch for a line that is not JSON, so that it is reported in its turn."""

    reason: str


class Oversized:
    """Stands for a value whose text is so long that, wherever it stands, it is refused for its type or length."""


class LazyArray:
    """An array too long to hold the values of all its elements at once."""

    def __init__(self, text: bytes) -> None:
        self._text = text

    def __iter__(self) -> Iterator[LazyValue]:
        return map(_lazy_action, jsontext.elements(self._text))


LazyValue: TypeAlias = JSONValue | Undecodable | Oversized | LazyArray | dict[str, "LazyValue"]


@dataclass(frozen=True)
class Body:
    """The decompressed bytes of a JSON array of logs, or of NDJSON with one log a line."""

    content: bytes
    is_ndjson: bool = False

    @property
    def digest(self) -> str:
        """The SHA-256 of the bytes, in hexadecimal."""
        return hashlib.sha256(self.content).hexdigest()

    def lines_of_logs(self) -> list[int]:
        """Return the index of each log's line in NDJSON: blank lines have none."""
        return [index for index, line in enumerate(io.BytesIO(self.content)) if line.strip(jsontext.BLANK)]

    def value(self) -> JSONValue | LazyBatch | Oversized:
        """Return what the body says: a LazyBatch of NDJSON and of a long array, otherwise the JSON's value.

        Raises ValueError, with the reason, for a body that is not JSON.
        """
        if self.is_ndjson:
            return LazyBatch(self) if self.content.strip(jsontext.BLANK) else []
        if len(self.content) <= SMALL_BYTES:
            return jsontext.decode(self.content.decode())
        text = jsontext.without_lone_surrogates(self.content)
        jsontext.check(text)
        return LazyBatch(Body(text)) if text.lstrip(jsontext.BLANK).startswith(b"[") else Oversized()


@dataclass(frozen=True)
class LazyBatch:
    """The logs of a body, each decoded when its turn comes."""

    body: Body

    def __iter__(self) -> Iterator[tuple[int, LazyValue]]:
        """Yield each log with its index: of NDJSON that of its line, blank ones counted but not yielded."""
        if self.body.is_ndjson:
            for index, line in enumerate(io.BytesIO(self.body.content)):
                if text := line.strip(jsontext.BLANK):
                    yield index, decode_log(text)
        else:
            for index, text in enumerate(jsontext.elements(self.body.content)):
                yield index, _lazy_log(text)


def decode_log(text: bytes) -> LazyValue:
    """Return the value of a log's JSON text; a long one's actions are decoded when their turn comes."""
    try:
        if len(text) <= SMALL_BYTES:
            return jsontext.decode(text.decode())
        text = jsontext.without_lone_surrogates(text)
        jsontext.check(text)
    except ValueError as error:
        return Undecodable(why_not_json(error))
    return _lazy_log(text)


def why_not_json(error: ValueError) -> str:
    """Say what is wrong with a text for which decode() or check() raised an error."""
    if isinstance(error, UnicodeDecodeError):
        return f"Not UTF-8 at byte {error.start}."
    return f"Not JSON: {error}."


def _lazy_log(text: bytes) -> LazyValue:
    if len(text) <= SMALL_BYTES or not text.startswith(b"{"):
        return _lazy_value(text)
    return {
        name: LazyArray(value) if name == "actions" and value.startswith(b"[") else _lazy_value(value)
        for name, value in jsontext.members(text)
        if name in ("userId", "sessionId", "actions")
    }


def _lazy_action(text: bytes) -> LazyValue:
    if len(text) <= SMALL_BYTES or not text.startswith(b"{"):
        return _lazy_value(text)
    values = {
        name: _lazy_value(value) for name, value in jsontext.members(text) if name in ("time", "type", "properties")
    }
    # One that has other members is not empty.
    return values or dict.fromkeys(["other"] if any(jsontext.members(text)) else [])


def _lazy_value(text: bytes) -> LazyValue:
    if len(text) > SMALL_BYTES and text.startswith((b"[", b"{")):
        text = jsontext.compact(text)
    if len(text) <= SMALL_BYTES:
        return jsontext.decode(text.decode())
    # A forbidden character is found before the length of the string that holds it.
    return "\0" if text.startswith(b'"') and jsontext.has_forbidden_escape(text) else Oversized()
