"""Documents of the old MongoDB service, as mongoexport writes them, to logs as the store takes them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from logs.lib import jsontext
from logs.lib.jsontext import JSONValue

# https://www.mongodb.com/docs/manual/reference/mongodb-extended-json/
_NUMBERS = {"$numberInt", "$numberLong", "$numberDouble", "$numberDecimal"}
_DATE = "$date"
_CLASS = "_cls"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# In milliseconds; 1e999999 as an integer would fill the memory.
_BEYOND_ANY_DATE = 10**15
# The colon in the offset is not in what old versions of mongoexport wrote.
_find_date = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?)(?:(Z)|([+-]\d\d):?(\d\d))", re.ASCII).fullmatch


def from_mongodb(value: JSONValue) -> object:
    """Return a document without MongoEngine's class names and with plain numbers; any other value as it is.

    A document is recognized by its `_id` or `_cls`, which no log of the store's own has. Where an action's time is a
    date of MongoDB's, it becomes an aware datetime, which LogSerializer takes, too.
    """
    if not isinstance(value, dict) or not ("_id" in value or _CLASS in value):
        return value
    document = _plain(value)
    actions = document.get("actions")
    return {**document, "actions": list(map(_with_time, actions))} if isinstance(actions, list) else document


def _with_time(action: JSONValue) -> object:
    return {**action, "time": _time(action["time"])} if isinstance(action, dict) and "time" in action else action


def _time(value: JSONValue) -> JSONValue | datetime:
    """Return the instant of `{"$date": …}`; any other value, and a date that no calendar has, as it is."""
    if not isinstance(value, dict) or set(value) != {_DATE}:
        return value
    date = value[_DATE]
    try:
        if isinstance(date, Decimal) and abs(date) < _BEYOND_ANY_DATE and date == int(date):
            return _EPOCH + timedelta(milliseconds=int(date))
        if isinstance(date, str) and (found := _find_date(date)):
            clock, utc, hours, minutes = found.groups()
            return datetime.fromisoformat(f"{clock}{utc or f'{hours}:{minutes}'}")
    except (ValueError, OverflowError):
        pass
    return value


def _plain(document: dict[str, JSONValue]) -> dict[str, JSONValue]:
    return {name: _plain_value(member) for name, member in document.items() if name != _CLASS}


def _plain_value(value: JSONValue) -> JSONValue:
    if isinstance(value, list):
        return [_plain_value(member) for member in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        [(name, text)] = value.items()
        if name in _NUMBERS and isinstance(text, str):
            return _number(text, value)
    return _plain(value)


def _number(text: str, wrapped: JSONValue) -> JSONValue:
    # NaN and the infinities stay wrapped: they are no numbers for the store either.
    try:
        return jsontext.decode(text)
    except ValueError:
        return wrapped
