"""The fast way through a batch that is valid and plain: its JSON is decoded into typed objects at once."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from rest_framework.exceptions import ValidationError

from logs.lib import jsontext
from logs.lib.jsontext import BLANK
from logs.lib.limits import MAX_ID_LENGTH, MAX_PROPERTIES_BYTES, MAX_TEXT_LENGTH
from logs.lib.times import time_parser
from logs.models import ActionType
from logs.store.rows import ActionRow, LogRow

_Id = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_ID_LENGTH)]
_Text = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_TEXT_LENGTH)]
# Half of the range of a location, in which no float was rounded to it from beyond.
_Location = Annotated[int, msgspec.Meta(ge=-(2**52), le=2**52)] | Annotated[float, msgspec.Meta(ge=-(2**52), le=2**52)]


class _Action(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    # Parsed afterwards. The minimum keeps a body from holding more actions than it could hold valid ones.
    time: Annotated[str, msgspec.Meta(min_length=20)]
    type: Literal["CLICK", "VIEW", "NAVIGATE"]
    properties: msgspec.Raw


class _Log(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    userId: _Id
    sessionId: _Id
    actions: Annotated[list[_Action], msgspec.Meta(min_length=1)]


class _Click(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    locationX: _Location
    locationY: _Location


class _View(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    viewedId: _Text


class _Navigate(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    pageFrom: _Text
    pageTo: _Text


_decode_array = msgspec.json.Decoder(list[_Log]).decode
_decode_line = msgspec.json.Decoder(_Log).decode
_find_lines = re.compile(rb"[^ \t\r\n][^\n]*").findall
_split = msgspec.json.Decoder(list[msgspec.Raw]).decode
_check_properties: dict[str, Callable[[bytes], list[Any]]] = {
    ActionType.CLICK.value: msgspec.json.Decoder(list[_Click]).decode,
    ActionType.VIEW.value: msgspec.json.Decoder(list[_View]).decode,
    ActionType.NAVIGATE.value: msgspec.json.Decoder(list[_Navigate]).decode,
}
# In properties with each of their members once: two for a name, two for a string.
_QUOTATION_MARKS = {ActionType.CLICK.value: 4, ActionType.VIEW.value: 4, ActionType.NAVIGATE.value: 8}

OtherProperties = Callable[[str, bytes], str]


def read_plain(content: bytes, is_ndjson: bool, other_properties: OtherProperties) -> list[LogRow] | None:
    """Return the rows of a valid batch; None for one that is not, or that only the serializers can judge.

    content: the text of a JSON array of logs, or of one log a line.
    other_properties: called with the type and text of properties that hold more than their own members, or an escape;
    returns the text to store, or raises ValueError or ValidationError.

    What is taken here the serializers take, too, and with the same result: a test holds both against each other.
    """
    try:
        # The decoder below does not check the bytes of strings that it skips.
        jsontext.check_utf8(content)
        lines = _find_lines(content) if is_ndjson else [content]
        # Not decode_lines(), which takes a log on two lines, and two on one.
        logs = [_decode_line(line) for line in lines] if is_ndjson else _decode_array(content)
        count = sum(len(log.actions) for log in logs)
        # As many brackets as these logs have: nothing else is nested. And no properties but theirs: of a member that
        # comes twice the decoder does not look at the first, nor is one counted whose name has an escape for a letter.
        has_more = content.count(b"[") + content.count(b"{") != 2 * len(logs) + 2 * count + (not is_ndjson)
        if has_more or content.count(b'"properties"') != count or b"\\u006" in content or b"\\u007" in content:
            for line in lines:
                jsontext.check(line)
        properties = _read_properties(logs, other_properties)
        # In place of what they are made from, so that there is never all of both.
        rows: list[Any] = logs
        parse_time = time_parser()
        for index, log in enumerate(logs):
            rows[index] = _row(log, properties, parse_time)
        return rows
    except (msgspec.MsgspecError, ValueError, ValidationError, RecursionError, KeyError):
        return None


def _row(log: _Log, properties: dict[str, Iterator[str]], parse_time: Callable[[str], datetime]) -> LogRow:
    if "\0" in log.userId or "\0" in log.sessionId:
        raise ValueError("U+0000")
    return {
        "user_id": log.userId,
        "session_id": log.sessionId,
        "actions": [
            ActionRow(parse_time(action.time), action.type, next(properties[action.type])) for action in log.actions
        ],
    }


def _read_properties(logs: Iterable[_Log], other_properties: OtherProperties) -> dict[str, Iterator[str]]:
    """Return the texts to store of all properties of each type, in the order of the batch."""
    texts: dict[str, list[msgspec.Raw]] = {action_type: [] for action_type in _check_properties}
    for log in logs:
        for action in log.actions:
            texts[action.type].append(action.properties)
    return {action_type: iter(_plain_all(action_type, its, other_properties)) for action_type, its in texts.items()}


def _plain_all(action_type: str, texts: list[msgspec.Raw], other_properties: OtherProperties) -> list[str]:
    plain = _plain(action_type, texts)
    if plain is not None:
        return plain
    return [
        one[0] if (one := _plain(action_type, [text])) else other_properties(action_type, bytes(text)) for text in texts
    ]


def _plain(action_type: str, texts: list[msgspec.Raw]) -> list[str] | None:
    """Return the compact texts of properties that hold just the members that their type needs, otherwise None."""
    joined = b"[" + b",".join(texts) + b"]"
    # An escape may hide a forbidden character, and an exponent may be out of range though the number is zero.
    if b"\\" in joined or (action_type == ActionType.CLICK and (b"e" in joined or b"E" in joined)):
        return None
    try:
        _check_properties[action_type](joined)
    except msgspec.MsgspecError:
        return None
    if len(joined.translate(None, BLANK)) < len(joined):
        # Without an escape, every other piece is the inside of a string.
        pieces = joined.split(b'"')
        pieces[::2] = [piece.translate(None, BLANK) for piece in pieces[::2]]
        joined = b'"'.join(pieces)
    if joined.count(b'"') != _QUOTATION_MARKS[action_type] * len(texts):
        return None
    compact = [str(text, "utf-8") for text in _split(joined)]
    return None if any(len(text) > MAX_PROPERTIES_BYTES // 4 for text in compact) else compact
