"""The rules for what may be stored, as nested serializers that read a whole batch in one pass.

The fields declare the rules; Django REST Framework's own machinery, which takes longer for a thousand actions than it
takes to store them, is passed by: LogListSerializer asks each field for its verdict alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar

from rest_framework import serializers

from logs.api.parsers import UndecodableLine
from logs.lib import jsontext, times
from logs.lib.errors import MAX_VIOLATIONS, ErrorCode, LogStoreError, Violation, json_pointer
from logs.models import MAX_ID_LENGTH, ActionType
from logs.store.append import ActionRow, LogRow, Receipt, append

MAX_TEXT_LENGTH = 2048
MAX_PROPERTIES_BYTES = 32 * 1024
MAX_LOCATION = 2**53 - 1

Place = tuple[str | int, ...]


class Refusals(list[Violation]):
    """The violations found so far, in document order."""

    def add(self, code: ErrorCode, place: Place, detail: str = "") -> None:
        self.append(Violation(code, pointer=json_pointer(place), detail=detail))

    @property
    def is_full(self) -> bool:
        return len(self) >= MAX_VIOLATIONS


class StrictString(serializers.CharField):
    """A JSON string taken exactly as it is, never made from another type."""

    def __init__(
        self, *, missing: ErrorCode, invalid: ErrorCode, blanks: Sequence[object] = (None, ""), **kwargs: Any
    ) -> None:
        super().__init__(trim_whitespace=False, **kwargs)
        self.missing, self.invalid, self.blanks = missing, invalid, blanks

    def fault(self, value: object) -> ErrorCode | None:
        if type(value) is str and 0 < len(value) <= self.max_length and not jsontext.has_forbidden_character(value):
            return None
        if value in self.blanks:
            return self.missing
        return _forbidden_character(value) or self.invalid


class StrictNumber(serializers.FloatField):
    """A JSON number, neither a boolean nor a string, within the integers that every client can tell apart."""

    _limit = Decimal(MAX_LOCATION)

    def __init__(self, *, missing: ErrorCode, invalid: ErrorCode, **kwargs: Any) -> None:
        super().__init__(min_value=-MAX_LOCATION, max_value=MAX_LOCATION, **kwargs)
        self.missing, self.invalid = missing, invalid

    def fault(self, value: object) -> ErrorCode | None:
        if isinstance(value, Decimal | int | float) and type(value) is not bool:
            return None if -self._limit <= value <= self._limit else self.invalid
        if value is None or value == "":
            return self.missing
        return _forbidden_character(value) or self.invalid


class ClickProperties(serializers.Serializer):
    locationX = StrictNumber(missing=ErrorCode.MISSING_LOCATION_X_VALUE, invalid=ErrorCode.INVALID_LOCATION_X_VALUE)
    locationY = StrictNumber(missing=ErrorCode.MISSING_LOCATION_Y_VALUE, invalid=ErrorCode.INVALID_LOCATION_Y_VALUE)


class ViewProperties(serializers.Serializer):
    viewedId = StrictString(
        missing=ErrorCode.MISSING_VIEWEDID_VALUE, invalid=ErrorCode.INVALID_VIEWEDID_VALUE, max_length=MAX_TEXT_LENGTH
    )


class NavigateProperties(serializers.Serializer):
    pageFrom = StrictString(
        missing=ErrorCode.MISSING_PAGEFROM_VALUE, invalid=ErrorCode.INVALID_PAGEFROM_VALUE, max_length=MAX_TEXT_LENGTH
    )
    pageTo = StrictString(
        missing=ErrorCode.MISSING_PAGETO_VALUE, invalid=ErrorCode.INVALID_PAGETO_VALUE, max_length=MAX_TEXT_LENGTH
    )


class ActionSerializer(serializers.Serializer):
    time = serializers.CharField()
    type = serializers.ChoiceField(choices=ActionType.choices)
    properties = serializers.DictField()

    properties_by_type: ClassVar[dict[str, type[serializers.Serializer]]] = {
        ActionType.CLICK: ClickProperties,
        ActionType.VIEW: ViewProperties,
        ActionType.NAVIGATE: NavigateProperties,
    }

    @classmethod
    def read(cls, action: object, place: Place, refusals: Refusals) -> ActionRow | None:
        """Return the row of a valid action, or None after adding its first violation (both of a pair) to refusals."""
        if type(action) is not dict or not action:
            invalid = _forbidden_character(action) or ErrorCode.INVALID_ACTION
            refusals.add(ErrorCode.EMPTY_ACTION if action in (None, {}) else invalid, place)
            return None
        action_type, properties, time = action.get("type"), action.get("properties"), action.get("time")
        if not (action_type and properties and time):
            for name, value, missing in (
                ("type", action_type, ErrorCode.MISSING_TYPE_VALUE),
                ("properties", properties, ErrorCode.MISSING_PROPERTIES_VALUE),
                ("time", time, ErrorCode.MISSING_TIME_VALUE),
            ):
                if value in (None, "", {}):
                    refusals.add(missing, (*place, name))
                    return None
        instant = _instant(time)
        if instant is None:
            refusals.add(_forbidden_character(time) or ErrorCode.INVALID_TIME_FORMAT, (*place, "time"))
            return None
        if type(action_type) is not str or action_type not in _members_by_type:
            refusals.add(_forbidden_character(action_type) or ErrorCode.INVALID_ACTION_TYPE, (*place, "type"))
            return None
        text = cls._read_properties(properties, action_type, place, refusals)
        return None if text is None else ActionRow(instant, action_type, text)

    @staticmethod
    def _read_properties(properties: object, action_type: str, place: Place, refusals: Refusals) -> str | None:
        text = jsontext.encode(properties) if type(properties) is dict else None
        if text is None or _is_too_large(text):
            refusals.add(_forbidden_character(properties) or ErrorCode.INVALID_PROPERTIES, (*place, "properties"))
            return None
        are_valid = True
        for name, field in _members_by_type[action_type]:
            fault = field.fault(properties.get(name))
            if fault is not None:
                refusals.add(fault, (*place, "properties", name))
                are_valid = False
        # What looks like U+0000 in the text may be an escaped backslash before a u: then no place is found.
        if are_valid and ("\\u0000" in text or jsontext.has_forbidden_character(text)):
            for forbidden in jsontext.forbidden_places(properties, (*place, "properties")):
                refusals.add(ErrorCode.INVALID_CHARACTER, forbidden)
                return None
        return text if are_valid else None


class LogListSerializer(serializers.ListSerializer):
    """A batch: read in one pass, stored as a whole or not at all."""

    def run_validation(self, data: Any = serializers.empty) -> list[LogRow]:
        """Return the rows of a batch of valid logs.

        data: a list of logs as decoded JSON, or parsers.Lines.
        Raises LogStoreError with the violations in document order, the first MAX_VIOLATIONS of them.
        """
        if data is serializers.empty or data is None or data == []:
            raise LogStoreError(ErrorCode.NO_LOGS_PROVIDED)
        if not isinstance(data, list):
            code = _forbidden_character(data) or ErrorCode.INVALID_BODY
            raise LogStoreError.from_violations([Violation(code, pointer=json_pointer(()))])
        refusals = Refusals()
        rows = []
        for index, log in zip(getattr(data, "indexes", range(len(data))), data, strict=True):
            rows.append(self.child.read(log, (index,), refusals))
            if refusals.is_full:
                break
        if refusals:
            raise LogStoreError.from_violations(refusals[:MAX_VIOLATIONS])
        return rows

    def create(self, validated_data: list[LogRow]) -> Receipt:
        return append(validated_data, self.context.get("idempotency_token"))


class LogSerializer(serializers.Serializer):
    userId = StrictString(
        missing=ErrorCode.MISSING_USERID,
        invalid=ErrorCode.INVALID_USERID,
        blanks=(None, "", []),
        max_length=MAX_ID_LENGTH,
    )
    sessionId = StrictString(
        missing=ErrorCode.MISSING_SESSIONID,
        invalid=ErrorCode.INVALID_SESSIONID,
        blanks=(None, "", []),
        max_length=MAX_ID_LENGTH,
    )
    actions = ActionSerializer(many=True)

    class Meta:
        list_serializer_class = LogListSerializer

    @classmethod
    def read(cls, log: object, place: Place, refusals: Refusals) -> LogRow | None:
        """Return the row of a log, or None after adding its violations to refusals."""
        if type(log) is not dict:
            if isinstance(log, UndecodableLine):
                refusals.add(ErrorCode.INVALID_JSON, place, log.reason)
            else:
                refusals.add(_forbidden_character(log) or ErrorCode.INVALID_LOG, place)
            return None
        for name, field in _identity:
            fault = field.fault(log.get(name))
            if fault is not None:
                refusals.add(fault, (*place, name))
        actions = log.get("actions")
        if actions in (None, "", []):
            refusals.add(ErrorCode.MISSING_ACTIONS, (*place, "actions"))
            return None
        if type(actions) is not list:
            refusals.add(_forbidden_character(actions) or ErrorCode.INVALID_ACTIONS, (*place, "actions"))
            return None
        rows = []
        for index, action in enumerate(actions):
            rows.append(ActionSerializer.read(action, (*place, "actions", index), refusals))
            if refusals.is_full:
                break
        return {"user_id": log.get("userId"), "session_id": log.get("sessionId"), "actions": rows}


_identity = [(name, LogSerializer._declared_fields[name]) for name in ("userId", "sessionId")]
_members_by_type = {
    action_type.value: list(serializer._declared_fields.items())
    for action_type, serializer in ActionSerializer.properties_by_type.items()
}


def _forbidden_character(value: object) -> ErrorCode | None:
    is_forbidden = isinstance(value, str) and jsontext.has_forbidden_character(value)
    return ErrorCode.INVALID_CHARACTER if is_forbidden else None


def _instant(value: object) -> datetime | None:
    try:
        return times.parse_time(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _is_too_large(text: str) -> bool:
    # Four bytes a character at the most: short texts need no second look.
    return len(text) > MAX_PROPERTIES_BYTES // 4 and len(text.encode(errors="surrogatepass")) > MAX_PROPERTIES_BYTES
