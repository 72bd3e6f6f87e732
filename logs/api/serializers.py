"""The rules for what may be stored, and the form in which it is given back, as nested serializers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar, TypedDict, TypeVar

from django.db.models import prefetch_related_objects
from django.utils.functional import SimpleLazyObject
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.settings import api_settings

from logs.api.bodies import Body, LazyArray, LazyBatch, Undecodable, why_not_json
from logs.api.fields import StrictString, TimeField, TypeField, detail_of, of_type, refusal
from logs.api.plain import read_plain
from logs.api.properties import PROPERTIES_BY_TYPE, PropertiesField, read_other_properties, read_properties
from logs.api.violations import Detail, count_errors
from logs.lib.errors import ErrorCode
from logs.lib.limits import MAX_ID_LENGTH, MAX_VIOLATIONS
from logs.models import Action, Log
from logs.store.append import ErasedBatchError, Receipt, append
from logs.store.rows import ActionRow, LogRow

Row = TypeVar("Row")

# Where DRF puts an error that is about no member of an object, but about all of it.
_WHOLE = api_settings.NON_FIELD_ERRORS_KEY
# Two parameters each, of which Django gives SQLite 999 in a query.
_LOGS_AT_ONCE = 450


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
        rows, errors = _read_each(enumerate(data), lambda action: ActionRow(**self.child.run_validation(action)))
        if errors:
            raise ValidationError(_as_list(errors))
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
    # What save() stored; there is none before.
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
        is_lazy = isinstance(data, LazyBatch)
        rows, errors = _read_each(data if is_lazy else enumerate(data), self.child.run_validation)
        if errors:
            # By their index where a list would be as long as the body.
            raise ValidationError(errors if is_lazy else _as_list(errors))
        if not rows:
            raise _of_batch(ErrorCode.NO_LOGS_PROVIDED)
        return rows

    def create(self, validated_data: list[LogRow]) -> Any:
        """Store a batch; return its logs, which are read from the database only if somebody looks.

        Raises ValidationError for logs of users who are erased.
        """
        try:
            self.receipt = append(validated_data, self.context.get("token"))
        except ErasedBatchError as error:
            raise ValidationError(self._of_erased_users(error.places)) from None
        return SimpleLazyObject(lambda: _stored(validated_data))

    def _of_erased_users(self, places: Sequence[int]) -> dict[Any, Detail]:
        shown = places[:MAX_VIOLATIONS]
        body = getattr(self, "initial_data", None)
        if isinstance(body, Body) and body.is_ndjson:
            lines = body.lines_of_logs()
            shown = [lines[place] for place in shown]
        return {place: {"userId": [detail_of(ErrorCode.USER_ERASED)]} for place in shown}

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
        """Store a log, or append to the one of its user and session; return it as it is then.

        Raises ValidationError where the user is erased.
        """
        try:
            append([validated_data], self.context.get("token"))
        except ErasedBatchError:
            raise ValidationError({"userId": [detail_of(ErrorCode.USER_ERASED)]}) from None
        return _stored([validated_data])[0]


def _read_each(values: Iterable[tuple[int, Any]], read: Callable[[Any], Row]) -> tuple[list[Row], dict[Any, Detail]]:
    """Return the row of each value, and the errors of those that have none, by their index.

    values: pairs of an index and a decoded JSON value.
    read: returns the row of a value, or raises ValidationError.

    Ends with the value in which the number of errors reaches MAX_VIOLATIONS.
    """
    rows: list[Row] = []
    errors: dict[Any, Detail] = {}
    found = 0
    for index, value in values:
        try:
            rows.append(read(value))
        except ValidationError as error:
            errors[index] = error.detail
            found += count_errors(error.detail)
            if found >= MAX_VIOLATIONS:
                break
    return rows, errors


def _as_list(errors: dict[Any, Detail]) -> list[Detail]:
    """Return errors by index as DRF has them in a list: with {} for what is right, up to the last error."""
    return [errors.get(index, {}) for index in range(max(errors) + 1)]


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
