"""JSON text to values and back, each number exactly as it was written, in memory near the text's own size."""

from __future__ import annotations

import codecs
import io
import json
import re
from collections.abc import Callable, Iterator
from decimal import Decimal, InvalidOperation
from json.encoder import encode_basestring
from typing import NoReturn, TypeAlias, Union

import msgspec

from logs.lib.limits import MAX_DEPTH

JSONValue: TypeAlias = Union[dict[str, "JSONValue"], list["JSONValue"], str, Decimal, int, float, bool, None]

Replacement: TypeAlias = bytes | Callable[[re.Match[bytes]], bytes]


BLANK = b" \t\r\n"
_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'


def _value_pattern() -> bytes:
    # To the end of any value that is nested no deeper than is allowed; possessive, so that nothing is tried twice.
    inner = rb'[^"\[\]{}]++|' + _STRING
    container = rb"[\[{](?:" + inner + rb")*+[\]}]"
    for _ in range(MAX_DEPTH - 1):
        container = rb"[\[{](?:" + inner + rb"|" + container + rb")*+[\]}]"
    return rb"(?:" + container + rb"|" + _STRING + rb'|[^"\[\]{},:\s]++)'


_find_element_after = re.compile(rb"[,\s]*+(" + _value_pattern() + rb")", re.DOTALL).match
_find_member = re.compile(rb"[,\s]*+(" + _STRING + rb")\s*+:\s*+(" + _value_pattern() + rb")", re.DOTALL).match
_find_pieces = re.compile(_STRING.decode() + r"|\{\}|\[\]|[\[\]{},:]|[^\[\]{},:\"\s]+", re.DOTALL).findall
_INDENT = "  "
# Runs of whole strings and what is between them, and of whole escapes and what is between them: each is short enough
# for the list of pieces that re makes of it.
_find_strings = re.compile(rb'(?:[^"]{1,16}+|' + _STRING + rb"){1,4096}+", re.DOTALL).match
_drop_blanks = re.compile(rb"(" + _STRING + rb")|[ \t\r\n]++", re.DOTALL).sub
_drop_strings = re.compile(_STRING, re.DOTALL).sub
# Exponents that a Decimal may not be able to hold: its own have 18 digits.
_find_long_exponents = re.compile(rb"[eE][+-]?\d{17,}+").finditer
_OF_A_NUMBER = b"-.0123456789"
_ALL_BUT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_PIECE_BYTES = 1 << 20
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
# Every escape, so that a backslash that is one itself hides nothing: a pair, a lone half of one, or another.
_PAIR = rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_HALF = rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}"
_replace_halves = re.compile(rb"(" + _PAIR + rb")|(" + _HALF + rb")|\\.", re.DOTALL).sub
_find_escapes = re.compile(rb"(?:" + _PAIR + rb"|" + _HALF + rb"|\\.|[^\\]++){1,4096}+", re.DOTALL).match
_find_nul = re.compile(rb"(?:[^\\]++|\\(?!u0000).)*+\\u0000", re.DOTALL).match


def decode(text: str) -> JSONValue:
    """Return the value of a JSON text (RFC 8259), its numbers as Decimal.

    Raises ValueError for what is not JSON, NaN and the infinities included, for nesting deeper than MAX_DEPTH, and for
    a number whose exponent has more than 18 digits.
    """
    try:
        value: JSONValue = _decoder.decode(text)
    except RecursionError:
        raise _nested_too_deep() from None
    if text.count("{") + text.count("[") > MAX_DEPTH:
        _check_depth(_substitute(_find_strings, _drop_strings, b"", text.encode(errors="surrogatepass")))
    return value


def without_lone_surrogates(text: bytes) -> bytes:
    """Return a JSON text in which each escape of a lone surrogate is one of U+0000, which is as forbidden.

    The typed decoder takes an escape like that for a fault of the JSON, which it is not.
    """
    if b"\\ud" not in text and b"\\uD" not in text:
        return text
    return _substitute(_find_escapes, _replace_halves, lambda found: b"\\u0000" if found[2] else found[0], text)


def check_utf8(text: bytes) -> None:
    """Raise UnicodeDecodeError unless a text is UTF-8, in no more memory than it takes: one emoji in it, and decode()
    would make four bytes of each of its characters.
    """
    if text.isascii():
        return
    decode_piece = codecs.getincrementaldecoder("utf-8")().decode
    try:
        for start in range(0, len(text), _PIECE_BYTES):
            decode_piece(text[start : start + _PIECE_BYTES])
        decode_piece(b"", final=True)
    except UnicodeDecodeError:
        # Says at which byte of the whole.
        text.decode()


def check(text: bytes) -> None:
    """Raise ValueError unless decode() would take a text, without making its value.

    text: of without_lone_surrogates(). Takes no more memory than three times the text's size, where the values of
    `[0,0,…]` take fifty times.
    """
    check_utf8(text)
    try:
        msgspec.json.decode(text, type=msgspec.Raw)
    except msgspec.DecodeError as error:
        raise ValueError(str(error)) from None
    except RecursionError:
        raise _nested_too_deep() from None
    bare = _substitute(_find_strings, _drop_strings, b"", text)
    for exponent in _find_long_exponents(bare):
        start = exponent.start()
        while start and bare[start - 1] in _OF_A_NUMBER:
            start -= 1
        _as_written(bare[start : exponent.end()].decode())
    _check_depth(bare)


def elements(array: bytes) -> Iterator[bytes]:
    """Yield the text of each element of a JSON array that check() has passed."""
    # After the opening bracket, which may be that of the first element.
    position = array.index(b"[") + 1
    while found := _find_element_after(array, position):
        yield found[1]
        position = found.end()


def members(text: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the name of each member of a JSON object that check() has passed, with the text of its value."""
    position = text.index(b"{") + 1
    while found := _find_member(text, position):
        yield json.loads(found[1]) if b"\\" in found[1] else found[1][1:-1].decode(), found[2]
        position = found.end()


def has_forbidden_escape(text: bytes) -> bool:
    """Return whether a JSON text that check() has passed holds an escape of U+0000, in any of its strings.

    text: of without_lone_surrogates(), so that there is no other forbidden one.
    """
    return _find_nul(text) is not None


def compact(text: bytes) -> bytes:
    """Return a JSON text that check() has passed without the blanks between its values."""
    return _substitute(_find_strings, _drop_blanks, rb"\1", text)


def indented(text: str) -> str:
    """Return a compact JSON text with each member and element on a line of its own, and its values as they are."""
    lines, depth = io.StringIO(), 0
    for piece in _find_pieces(text):
        if piece in ("{", "["):
            depth += 1
            lines.write(f"{piece}\n{_INDENT * depth}")
        elif piece in ("}", "]"):
            depth -= 1
            lines.write(f"\n{_INDENT * depth}{piece}")
        elif piece == ",":
            lines.write(f",\n{_INDENT * depth}")
        else:
            lines.write(": " if piece == ":" else piece)
    return lines.getvalue()


def encode(value: JSONValue) -> str:
    """Return a value as compact JSON text; characters outside ASCII stay as they are.

    Raises TypeError and ValueError for what JSON has no text for, such as a set or NaN.
    """
    # The library takes three times as long: it writes such strings in Python, and makes an encoder for each value.
    if type(value) is str:
        return str(encode_basestring(value))
    if isinstance(value, Decimal):
        if not value.is_finite() and type(value) is not _Spelled:
            raise ValueError(f"{value} is no number of JSON")
        return str(value)
    if isinstance(value, dict):
        return "{" + ",".join([f"{encode_basestring(name)}:{encode(member)}" for name, member in value.items()]) + "}"
    if isinstance(value, list):
        return "[" + ",".join([encode(member) for member in value]) + "]"
    return _encode_other(value)


def has_forbidden_character(text: str) -> bool:
    """Return whether a string holds U+0000 or a lone surrogate, which no database can keep."""
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


def _substitute(
    find_run: Callable[[bytes, int], re.Match[bytes] | None],
    substitute: Callable[[Replacement, bytes], bytes],
    replacement: Replacement,
    text: bytes,
) -> bytes:
    """Substitute in one run of a JSON text after another: re keeps a list of pieces."""
    result, position = io.BytesIO(), 0
    while found := find_run(text, position):
        result.write(substitute(replacement, found[0]))
        position = found.end()
    # What no JSON string ends.
    result.write(text[position:])
    return result.getvalue()


def _check_depth(bare: bytes) -> None:
    # What is left of [[1],{"a":[]}] is [[][[]]]; without its innermost pairs [[]], and so on, a level each time.
    brackets = bare.translate(_ONE_BRACKET, _ALL_BUT_BRACKETS)
    for _ in range(MAX_DEPTH):
        brackets = brackets.replace(b"[]", b"")
    if brackets:
        raise _nested_too_deep()


def _nested_too_deep() -> ValueError:
    return ValueError(f"nested deeper than {MAX_DEPTH} levels")
