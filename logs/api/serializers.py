"""The rules for what may be stored, and the form in which it is given back, as nested serializers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, TypedDict

from django.db.models import prefetch_related_objects
from django.utils.functional import SimpleLazyObject
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.settings import api_settings

from logs.api.bodies import SMALL_BYTES, Body, LazyArray, LazyBatch, Undecodable, why_not_json
from logs.api.fields import StrictNumber, StrictString, TimeField, TypeField, detail_of, of_type, refusal
from logs.api.plain import read_plain
from logs.api.violations import Detail, count_errors
from logs.lib import jsontext
from logs.lib.errors import ErrorCode
from logs.lib.limits import MAX_ID_LENGTH, MAX_PROPERTIES_BYTES, MAX_TEXT_LENGTH, MAX_VIOLATIONS
from logs.models import Action, ActionType, Log
from logs.store.append import ActionRow, LogRow, Receipt, append

# Where DRF puts an error that is about no member of an object, but about all of it.
_WHOLE = api_settings.NON_FIELD_ERRORS_KEY
# SQLite takes so many parameters as Django believes it to: 999.
_LOGS_AT_ONCE = 450


class ClickProperties(serializers.Serializer[Any]):
    """What the properties of a CLICK must hold."""

    locationX = StrictNumber(missing=ErrorCode.MISSING_LOCATION_X_VALUE, invalid=ErrorCode.INVALID_LOCATION_X_VALUE)
    locationY = StrictNumber(missing=ErrorCode.MISSING_LOCATION_Y_VALUE, invalid=ErrorCode.INVALID_LOCATION_Y_VALUE)


class ViewProperties(serializers.Serializer[Any]):
    """What the properties of a VIEW must hold."""

    viewedId = StrictString(
        missing=ErrorCode.MISSING_VIEWEDID_VALUE, invalid=ErrorCode.INVALID_VIEWEDID_VALUE, max_length=MAX_TEXT_LENGTH
    )


class NavigateProperties(serializers.Serializer[Any]):
    """What the properties of a NAVIGATE must hold."""

    pageFrom = StrictString(
        missing=ErrorCode.MISSING_PAGEFROM_VALUE, invalid=ErrorCode.INVALID_PAGEFROM_VALUE, max_length=MAX_TEXT_LENGTH
    )
    pageTo = StrictString(
        missing=ErrorCode.MISSING_PAGETO_VALUE, invalid=ErrorCode.INVALID_PAGETO_VALUE, max_length=MAX_TEXT_LENGTH
    )


PROPERTIES_BY_TYPE: dict[str, type[serializers.Serializer[Any]]] = {
    ActionType.CLICK: ClickProperties,
    ActionType.VIEW: ViewProperties,
    ActionType.NAVIGATE: NavigateProperties,
}
_fields_by_type = {action_type: dict(properties().fields) for action_type, properties in PROPERTIES_BY_TYPE.items()}


def read_properties(action_type: str, properties: object) -> str:
    """Return the JSON text of an action's properties, compact and with each number as it came.

    action_type: one of ActionType. properties: a decoded JSON value.
    Raises ValidationError with DRF's nested errors: both members of a pair, otherwise the first rule that is broken.
    """
    if not isinstance(properties, dict):
        raise refusal(of_type(properties, ErrorCode.INVALID_PROPERTIES))
    try:
        text = jsontext.encode(properties)
    except (TypeError, ValueError, RecursionError):
        # A value of Python's that JSON has no text for.
        raise refusal(ErrorCode.INVALID_PROPERTIES) from None
    if _is_too_large(text):
        raise refusal(ErrorCode.INVALID_PROPERTIES)
    errors: dict[str, Detail] = {}
    for name, field in _fields_by_type[action_type].items():
        try:
            field.run_validation(properties.get(name))
        except ValidationError as error:
            errors[name] = error.detail
    if errors:
        raise ValidationError(errors)
    # What looks like U+0000 in the text may be an escaped backslash before a u: then no place is found.
    if "\\u0000" in text or jsontext.has_forbidden_character(text):
        for place in jsontext.forbidden_places(properties):
            detail: Detail = [detail_of(ErrorCode.INVALID_CHARACTER)]
            for token in reversed(place):
                detail = {token: detail}
            raise ValidationError(detail)
    return text


class PropertiesField(serializers.DictField):
    """The properties of an action: checked by its type, in ActionSerializer; given back as a dict."""

    def to_representation(self, value: Any) -> Any:
        return json.loads(value) if isinstance(value, str) else value


class ValidAction(TypedDict):
    """What ActionSerializer makes of a valid action; time is in UTC, properties is JSON text."""

    time: Any
    type: str
    properties: str


class ActionListSerializer(serializers.ListSerializer[Any]):
    """The actions of a log."""

    child: serializers.Field[Any, Any, Any, Any]

    def run_validation(self, data: Any = serializers.empty) -> list[ActionRow]:
        """Return the rows of a log's actions. Raises ValidationError once MAX_VIOLATIONS are found, or at the end."""
        if data is serializers.empty or data in (None, "", []):
            raise refusal(ErrorCode.MISSING_ACTIONS)
        if not isinstance(data, list | LazyArray):
            raise refusal(of_type(data, ErrorCode.INVALID_ACTIONS))
        rows, errors, found = [], _Errors(), 0
        for index, action in enumerate(data):
            try:
                rows.append(ActionRow(**self.child.run_validation(action)))
            except ValidationError as error:
                errors.add(index, error.detail)
                found += count_errors(error.detail)
                if found >= MAX_VIOLATIONS:
                    break
        if errors:
            raise ValidationError(errors.as_list())
        if not rows:
            raise refusal(ErrorCode.MISSING_ACTIONS)
        return rows

    def to_representation(self, data: Any) -> list[Any]:
        actions = data.all() if hasattr(data, "all") else data
        # Stored ones, which have an id, in the order of an answer.
        return super().to_representation(sorted(actions, key=lambda action: (action.time, getattr(action, "pk", 0))))


class ActionSerializer(serializers.Serializer[Action]):
    """One thing that a user did; its first violation is the one reported, both for a pair."""

    time = TimeField()
    type = TypeField()
    properties = PropertiesField()

    properties_by_type: ClassVar = PROPERTIES_BY_TYPE

    class Meta:
        list_serializer_class = ActionListSerializer

    def run_validation(self, data: Any = serializers.empty) -> ValidAction:
        """Return what a valid action says. data: a decoded JSON value. Raises ValidationError."""
        if not isinstance(data, dict) or not data:
            is_empty = data is serializers.empty or data in (None, {})
            code = ErrorCode.EMPTY_ACTION if is_empty else of_type(data, ErrorCode.INVALID_ACTION)
            raise ValidationError({_WHOLE: [detail_of(code)]})
        for name, missing in _REQUIRED:
            if data.get(name) in (None, "", {}):
                raise ValidationError({name: [detail_of(missing)]})
        name = "time"
        try:
            time = _time.run_validation(data["time"])
            name = "type"
            action_type = _type.run_validation(data["type"])
            name = "properties"
            return {"time": time, "type": action_type, "properties": read_properties(action_type, data["properties"])}
        except ValidationError as error:
            raise ValidationError({name: error.detail}) from None


_time, _type = TimeField(), TypeField()
_REQUIRED = (
    ("type", ErrorCode.MISSING_TYPE_VALUE),
    ("properties", ErrorCode.MISSING_PROPERTIES_VALUE),
    ("time", ErrorCode.MISSING_TIME_VALUE),
)


class LogListSerializer(serializers.ListSerializer[Log]):
    """A batch: stored as a whole or not at all.

    context["token"]: what the batch is known by, so that a repeat stores nothing; see store.append.
    """

    child: serializers.Field[Any, Any, Any, Any]
    # What save() did, once it has.
    receipt: Receipt

    def run_validation(self, data: Any = serializers.empty) -> list[LogRow]:
        """Return the rows of a batch of valid logs.

        data: a list of logs as decoded JSON, or a Body.
        Raises ValidationError; its errors end with the log in which the number of them reached MAX_VIOLATIONS.
        """
        if isinstance(data, Body):
            rows = read_plain(data.content, data.is_ndjson, read_other_properties)
            if rows:
                return rows
            try:
                data = data.value()
            except ValueError as error:
                raise _of_batch(ErrorCode.INVALID_JSON, why_not_json(error)) from None
        if data is serializers.empty or data is None or data == []:
            raise _of_batch(ErrorCode.NO_LOGS_PROVIDED)
        if not isinstance(data, list | LazyBatch):
            raise _of_batch(of_type(data, ErrorCode.INVALID_BODY))
        return self._read(data if isinstance(data, LazyBatch) else enumerate(data), is_list=isinstance(data, list))

    def _read(self, logs: Iterable[tuple[int, Any]], is_list: bool) -> list[LogRow]:
        rows, errors, found = [], _Errors(), 0
        for index, log in logs:
            try:
                rows.append(self.child.run_validation(log))
            except ValidationError as error:
                errors.add(index, error.detail)
                found += count_errors(error.detail)
                if found >= MAX_VIOLATIONS:
                    break
        if errors:
            # By their index where a list would be as long as the body.
            raise ValidationError(errors.as_list()) if is_list else ValidationError(errors.by_index)
        if not rows:
            raise _of_batch(ErrorCode.NO_LOGS_PROVIDED)
        return rows

    def create(self, validated_data: list[LogRow]) -> Any:
        """Store a batch; return its logs, which are read from the database only if somebody looks."""
        self.receipt = append(validated_data, self.context.get("token"))
        return SimpleLazyObject(lambda: _stored(validated_data))

    def to_representation(self, data: Any) -> list[Any]:
        logs = list(data.all() if hasattr(data, "all") else data)
        prefetch_related_objects(logs, "actions")
        return super().to_representation(logs)


class LogSerializer(serializers.Serializer[Log]):
    """What one user did in one session.

    >>> serializer = LogSerializer(data={"userId": "u", "sessionId": "s", "actions": [{"type": "CLICK"}]})
    >>> serializer.is_valid()
    False
    >>> serializer.errors["actions"][0]["properties"][0].code
    'MISSING_PROPERTIES_VALUE'
    """

    userId = StrictString(
        source="user_id",
        missing=ErrorCode.MISSING_USERID,
        invalid=ErrorCode.INVALID_USERID,
        blanks=(None, "", []),
        max_length=MAX_ID_LENGTH,
    )
    sessionId = StrictString(
        source="session_id",
        missing=ErrorCode.MISSING_SESSIONID,
        invalid=ErrorCode.INVALID_SESSIONID,
        blanks=(None, "", []),
        max_length=MAX_ID_LENGTH,
    )
    actions = ActionSerializer(many=True)

    class Meta:
        list_serializer_class = LogListSerializer

    def run_validation(self, data: Any = serializers.empty) -> LogRow:
        """Return the row of a valid log. data: a decoded JSON value. Raises ValidationError with its violations."""
        if isinstance(data, Undecodable):
            raise ValidationError({_WHOLE: [detail_of(ErrorCode.INVALID_JSON, data.reason)]})
        if not isinstance(data, dict):
            raise ValidationError({_WHOLE: [detail_of(of_type(data, ErrorCode.INVALID_LOG))]})
        values: dict[str, Any] = {}
        errors: dict[str, Detail] = {}
        for name, field in self.fields.items():
            try:
                values[name] = field.run_validation(data.get(name))
            except ValidationError as error:
                errors[name] = error.detail
        if errors:
            raise ValidationError(errors)
        return {"user_id": values["userId"], "session_id": values["sessionId"], "actions": values["actions"]}

    def create(self, validated_data: LogRow) -> Log:
        """Store a log, or append to the one of its user and session; return it as it is then."""
        append([validated_data], self.context.get("token"))
        return _stored([validated_data])[0]


class _Errors:
    """Errors by index."""

    def __init__(self) -> None:
        self.by_index: dict[Any, Any] = {}

    def __bool__(self) -> bool:
        return bool(self.by_index)

    def add(self, index: int, detail: Any) -> None:
        self.by_index[index] = detail

    def as_list(self) -> list[Any]:
        """The errors as a list, with {} for what is right, up to the last error."""
        return [self.by_index.get(index, {}) for index in range(max(self.by_index) + 1)]


def _of_batch(code: ErrorCode, text: str = "") -> ValidationError:
    return ValidationError({_WHOLE: [detail_of(code, text)]})


def _stored(batch: Sequence[LogRow]) -> list[Log]:
    """Return the log of each user and session in a batch, in its order, by a query for some hundred of them."""
    keys = list(dict.fromkeys((row["user_id"], row["session_id"]) for row in batch))
    found: dict[tuple[str, str], Log] = {}
    for start in range(0, len(keys), _LOGS_AT_ONCE):
        users, sessions = zip(*keys[start : start + _LOGS_AT_ONCE], strict=True)
        # Perhaps some more: a user of one log in the session of another.
        logs = Log.objects.filter(user_id__in=set(users), session_id__in=set(sessions))
        found |= {(log.user_id, log.session_id): log for log in logs}
    return [found[key] for key in keys]


def read_other_properties(action_type: str, text: bytes) -> str:
    """Return what read_properties() does of properties that are still a JSON text. Raises ValueError for no JSON."""
    if len(text) > SMALL_BYTES:
        # Its values may take many times as much memory: it is looked at as a text.
        raise refusal(ErrorCode.INVALID_PROPERTIES)
    return read_properties(action_type, jsontext.decode(text.decode()))


def _is_too_large(text: str) -> bool:
    # Four bytes a character at the most: short texts need no second look.
    return len(text) > MAX_PROPERTIES_BYTES // 4 and len(text.encode(errors="surrogatepass")) > MAX_PROPERTIES_BYTES
