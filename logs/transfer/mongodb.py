"""Documents of the old MongoDB service, as mongoexport writes them, to logs as the store takes them."""

from __future__ import annotations

from logs.lib import jsontext
from logs.lib.jsontext import JSONValue

# https://www.mongodb.com/docs/manual/reference/mongodb-extended-json/
_NUMBERS = {"$numberInt", "$numberLong", "$numberDouble", "$numberDecimal"}
_CLASS = "_cls"


def from_mongodb(value: JSONValue) -> JSONValue:
    """Return a document without MongoEngine's class names and with plain numbers; any other value as it is.

    A document is recognized by its `_id` or `_cls`, which no log of the store's own has.
    """
    return _plain(value) if isinstance(value, dict) and ("_id" in value or _CLASS in value) else value


def _plain(value: JSONValue) -> JSONValue:
    if isinstance(value, list):
        return [_plain(member) for member in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        [(name, text)] = value.items()
        if name in _NUMBERS and isinstance(text, str):
            return _number(text, value)
    return {name: _plain(member) for name, member in value.items() if name != _CLASS}


def _number(text: str, wrapped: JSONValue) -> JSONValue:
    # NaN and the infinities stay wrapped: they are no numbers for the store either.
    try:
        return jsontext.decode(text)
    except ValueError:
        return wrapped
