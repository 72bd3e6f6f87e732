"""JSON text to values and back, each number exactly as it was written, in memory near the text's own size."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from json.encoder import encode_basestring  # type: ignore[attr-defined]  # the C function; its stub leaves it out
from typing import NoReturn, TypeAlias, Union

import msgspec

JSONValue: TypeAlias = Union[dict[str, "JSONValue"], list["JSONValue"], str, Decimal, int, float, bool, None]

MAX_DEPTH = 64

BLANK = b" \t\r\n"
# A string; then all that stands before the next mark outside of strings. Possessive: nothing is tried twice.
_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_find_mark = re.compile(rb'(?:[^"\[\]{},:]++|' + _STRING + rb")*+([\[\]{},:])", re.DOTALL).match
_find_bracket = re.compile(rb'(?:[^"\[\]{}]++|' + _STRING + rb")*+([\[\]{}])", re.DOTALL).match
_drop_strings = re.compile(_STRING, re.DOTALL).sub
# Numbers that a Decimal may not be able to hold: its exponents have 18 digits.
_find_extremes = re.compile(rb"-?\d+(?:\.\d+)?[eE][+-]?\d{17,}").findall
_ALL_BUT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_ONE_BRACKET = bytes.maketrans(b"{}", b"[]")


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
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise ValueError("a number has an exponent out of range") from None
    return number if str(number) == text else _Spelled(text)


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number")


# Decimal for every number: a float turns 0.10 into 0.1 and 1e400 into infinity, and int() refuses over 4,300 digits.
_decoder = json.JSONDecoder(parse_int=Decimal, parse_float=_as_written, parse_constant=_refuse_constant)
_encode_other = json.JSONEncoder(allow_nan=False).encode

# PostgreSQL's text can't hold U+0000, and UTF-8 has no lone surrogates.
_find_forbidden = re.compile("[\0\ud800-\udfff]").search
_replace_surrogates = re.compile(rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}").sub


def decode(text: str) -> JSONValue:
    """Return the value of a JSON text (RFC 8259), its numbers as Decimal.

    Raises ValueError for what is not JSON, NaN and the infinities included, and for nesting deeper than MAX_DEPTH.
    """
    try:
        value: JSONValue = _decoder.decode(text)
    except RecursionError:
        raise _nested_too_deep() from None
    if text.count("{") + text.count("[") > MAX_DEPTH:
        _check_depth(_drop_strings(b"", text.encode(errors="surrogatepass")))
    return value


def check(text: bytes) -> None:
    """Raise ValueError unless decode() would take a text, without making its value.

    Takes no more memory than three times the text's size, where the values of `[0,0,…]` take fifty times.
    """
    text.decode()
    # What skips a value here refuses a lone surrogate, which is JSON all the same.
    plain = _replace_surrogates(b" " * 6, text) if b"\\u" in text else text
    try:
        msgspec.json.decode(plain, type=msgspec.Raw)
    except msgspec.DecodeError as error:
        raise ValueError(str(error)) from None
    except RecursionError:
        raise _nested_too_deep() from None
    del plain
    bare = _drop_strings(b"", text)
    for number in _find_extremes(bare):
        _as_written(number.decode())
    _check_depth(bare)


def elements(array: bytes) -> Iterator[bytes]:
    """Yield the text of each element of a JSON array that check() has passed."""
    for _, start, end in _parts(array):
        if text := array[start:end].strip(BLANK):
            yield text


def members(text: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the name of each member of a JSON object that check() has passed, with the text of its value."""
    for colon, start, end in _parts(text):
        if colon is not None:
            yield json.loads(text[start:colon]), text[colon + 1 : end].strip(BLANK)


def encode(value: JSONValue) -> str:
    """Return a value as compact JSON text; characters outside ASCII stay as they are."""
    # The library takes three times as long: it writes such strings in Python, and makes an encoder for each value.
    if type(value) is str:
        return str(encode_basestring(value))
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


def _check_depth(bare: bytes) -> None:
    # What is left of [[1],{"a":[]}] is [[][[]]]; without its innermost pairs [[]], and so on, a level each time.
    brackets = bare.translate(_ONE_BRACKET, _ALL_BUT_BRACKETS)
    for _ in range(MAX_DEPTH):
        brackets = brackets.replace(b"[]", b"")
    if brackets:
        raise _nested_too_deep()


def _nested_too_deep() -> ValueError:
    return ValueError(f"nested deeper than {MAX_DEPTH} levels")


def _parts(text: bytes) -> Iterator[tuple[int | None, int, int]]:
    """Yield where each part of a container begins and ends, after the place of its first colon, if it has one."""
    opening = _find_bracket(text)
    if opening is None:
        return
    start = position = opening.end()
    colon = None
    depth = 0
    while found := (_find_bracket if depth else _find_mark)(text, position):
        mark, position = found[1], found.end()
        if mark == b":":
            colon = position - 1 if colon is None else colon
        elif mark in b"[{":
            depth += 1
        elif depth:
            depth -= mark in b"]}"
        else:
            yield colon, start, position - 1
            start, colon = position, None
            if mark != b",":
                return
