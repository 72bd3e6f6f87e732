"""The fields of the wire: what each takes, by the contract's codes, and how it is written back."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail, ValidationError

from logs.lib.errors import ErrorCode
from logs.lib.jsontext import has_forbidden_character
from logs.lib.limits import MAX_LOCATION
from logs.lib.times import format_time, parse_time, storable, why_refused
from logs.models import ActionType


def detail_of(code: ErrorCode, text: str = "") -> ErrorDetail:
    """Return a code of the contract as one of DRF's errors.

    text: what to say instead of the code's own sentence.
    """
    return ErrorDetail(text or code.sentence, code.name)


def refusal(code: ErrorCode, text: str = "") -> ValidationError:
    """Return the error that refuses a value for a code of the contract."""
    return ValidationError([detail_of(code, text)])


def of_type(value: object, code: ErrorCode) -> ErrorCode:
    """Return the code for a value of the wrong type: a string's forbidden character is found before its type."""
    return ErrorCode.INVALID_CHARACTER if isinstance(value, str) and has_forbidden_character(value) else code


class StrictString(serializers.CharField):
    """A JSON string taken exactly as it is, never made from another type.

    missing, invalid: the codes for a value that is one of `blanks`, and for one of another type or length.
    """

    def __init__(
        self, *, missing: ErrorCode, invalid: ErrorCode, blanks: Sequence[object] = (None, ""), **kwargs: Any
    ) -> None:
        super().__init__(trim_whitespace=False, **kwargs)
        self.missing, self.invalid, self.blanks = missing, invalid, blanks

    def run_validation(self, data: Any = serializers.empty) -> str:
        if isinstance(data, str) and 0 < len(data) <= (self.max_length or 0) and not has_forbidden_character(data):
            return data
        if data is serializers.empty or data in self.blanks:
            raise refusal(self.missing)
        raise refusal(of_type(data, self.invalid))


class StrictNumber(serializers.FloatField):
    """A JSON number, neither a boolean nor a string, within the integers that every client can tell apart.

    missing, invalid: the codes for an absent, null or empty value, and for one of another type or out of range.
    """

    _limit = Decimal(MAX_LOCATION)

    def __init__(self, *, missing: ErrorCode, invalid: ErrorCode, **kwargs: Any) -> None:
        super().__init__(min_value=-MAX_LOCATION, max_value=MAX_LOCATION, **kwargs)
        self.missing, self.invalid = missing, invalid

    def run_validation(self, data: Any = serializers.empty) -> Decimal | int | float:
        if isinstance(data, Decimal | int | float) and type(data) is not bool:
            if -self._limit <= data <= self._limit:
                return data
            raise refusal(self.invalid)
        if data is serializers.empty or data is None or data == "":
            raise refusal(self.missing)
        raise refusal(of_type(data, self.invalid))


class TimeField(serializers.Field[datetime, str, str, Any]):
    """A time of the wire as an aware datetime in UTC; written back with `-06:00`.

    An aware datetime, which no JSON holds, is taken as well.
    """

    def run_validation(self, data: Any = serializers.empty) -> datetime:
        if data is serializers.empty or data in (None, "", {}):
            raise refusal(ErrorCode.MISSING_TIME_VALUE)
        text = data if isinstance(data, str) else ""
        try:
            return storable(data) if isinstance(data, datetime) else parse_time(text)
        except ValueError:
            code = of_type(data, ErrorCode.INVALID_TIME_FORMAT)
            raise refusal(code, why_refused(text) if code is ErrorCode.INVALID_TIME_FORMAT else "") from None

    def to_representation(self, value: datetime) -> str:
        return format_time(value)


class TypeField(serializers.ChoiceField):
    """The type of an action, in capitals."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(choices=ActionType.choices, **kwargs)

    def run_validation(self, data: Any = serializers.empty) -> str:
        if data is serializers.empty or data in (None, "", {}):
            raise refusal(ErrorCode.MISSING_TYPE_VALUE)
        if not isinstance(data, str) or data not in ActionType.values:
            raise refusal(of_type(data, ErrorCode.INVALID_ACTION_TYPE))
        return str(data)
