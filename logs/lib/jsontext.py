"""JSON text to values and back, each number exactly as it was written."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from json.encoder import encode_basestring
from typing import TypeAlias, Union

import simplejson

JSONValue: TypeAlias = Union[dict[str, "JSONValue"], list["JSONValue"], str, Decimal, int, float, bool, None]

MAX_DEPTH = 64


class _Spelled(Decimal):
    """A number that Decimal would write in another way than it came: 1e400 as 1E+400, 1.5e1 as 15."""

    text: str

    def __new__(cls, text: str) -> _Spelled:
        number = super().__new__(cls, text)
        number.text = text
        return number

    def __str__(self) -> str:
        return self.text


def _as_written(text: str) -> Decimal:
    number = Decimal(text)
    return number if str(number) == text else _Spelled(text)


# Decimal for every number: a float turns 0.10 into 0.1 and 1e400 into infinity, and int() refuses over 4,300 digits.
_decoder = simplejson.JSONDecoder(parse_int=Decimal, parse_float=_as_written)
_encode_other = simplejson.JSONEncoder(allow_nan=False).encode

# PostgreSQL's text can't hold U+0000, and UTF-8 has no lone surrogates.
_find_forbidden = re.compile("[\0\ud800-\udfff]").search


def decode(text: str) -> JSONValue:
    """Return the value of a JSON text (RFC 8259), its numbers as Decimal.

    Raises ValueError for what is not JSON, NaN and the infinities included, and for nesting deeper than MAX_DEPTH.
    """
    try:
        value = _decoder.decode(text)
    except InvalidOperation:
        raise ValueError("a number has an exponent out of range") from None
    except RecursionError:
        value = None
        nested_too_deep = True
    else:
        # With so few brackets no nesting is too deep.
        nested_too_deep = text.count("{") + text.count("[") > MAX_DEPTH and _is_nested_deeper(value, MAX_DEPTH)
    if nested_too_deep:
        raise ValueError(f"nested deeper than {MAX_DEPTH} levels")
    return value


def encode(value: JSONValue) -> str:
    """Return a value as compact JSON text; characters outside ASCII stay as they are."""
    # The library takes three times as long: it writes such strings in Python, and makes an encoder for each value.
    if type(value) is str:
        return encode_basestring(value)
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, dict):
        return "{" + ",".join([f"{encode_basestring(name)}:{encode(member)}" for name, member in value.items()]) + "}"
    if isinstance(value, list):
        return "[" + ",".join([encode(member) for member in value]) + "]"
    return _encode_other(value)


def has_forbidden_character(text: str) -> bool:
    """Whether a string holds U+0000 or a lone surrogate, which no database can keep."""
    return _find_forbidden(text) is not None


def forbidden_places(value: JSONValue, place: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Yield the place of each string with a forbidden character; for an object's name, the place of that object."""
    if isinstance(value, str):
        if has_forbidden_character(value):
            yield place
    elif isinstance(value, dict):
        for name, member in value.items():
            if has_forbidden_character(name):
                yield place
            else:
                yield from forbidden_places(member, (*place, name))
    elif isinstance(value, list):
        for index, member in enumerate(value):
            yield from forbidden_places(member, (*place, index))


def _is_nested_deeper(value: JSONValue, levels: int) -> bool:
    containers = [value] if isinstance(value, dict | list) else []
    for _ in range(levels):
        containers = [
            child
            for parent in containers
            for child in (parent.values() if type(parent) is dict else parent)
            if type(child) is dict or type(child) is list
        ]
        if not containers:
            return False
    return True
