"""Which actions an answer holds: the django-filter FilterSet over actions."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import django_filters
from django import forms
from django.core.exceptions import ValidationError
from django.db.models import QuerySet

from logs.lib import times
from logs.lib.errors import ErrorCode
from logs.lib.jsontext import has_forbidden_character
from logs.lib.limits import MAX_ID_LENGTH
from logs.models import Action, ActionType


class _IdField(forms.CharField):
    """An id, taken exactly as it is."""

    def to_python(self, value: str | None) -> str | None:
        if value and has_forbidden_character(value):
            raise _refusal(ErrorCode.INVALID_CHARACTER)
        return super().to_python(value)


class _TimeField(forms.CharField):
    """A time on the wire; a space is the plus sign that it was before decoding."""

    def clean(self, value: str | None) -> datetime | None:
        if not value:
            return None
        text = value.replace(" ", "+")
        try:
            return times.parse_time(text)
        except ValueError:
            raise _refusal(ErrorCode.INVALID_TIME_FORMAT, times.why_refused(text)) from None


class _TypesField(forms.Field):
    """Types, comma-separated in each of any number of values."""

    widget = forms.MultipleHiddenInput

    def clean(self, value: Sequence[str] | None) -> list[str]:
        types = [name for text in value or () if text for name in text.split(",")]
        if not set(types) <= set(ActionType.values):
            raise _refusal(ErrorCode.INVALID_ACTION_TYPE)
        return sorted(set(types))


class _IdFilter(django_filters.Filter):
    field_class = _IdField

    def filter(self, qs: QuerySet[Any], value: str | None) -> QuerySet[Any]:
        # Citus refuses to look for what the column can't hold.
        return qs.none() if value and len(value) > MAX_ID_LENGTH else super().filter(qs, value)


class _TimeFilter(django_filters.Filter):
    field_class = _TimeField


class _TypesFilter(django_filters.Filter):
    field_class = _TypesField


class ChangeFilter(django_filters.FilterSet):
    """The filters of GET /logs/changes.

    A refused value is a ValidationError in `errors` whose code is the name of an ErrorCode.
    """

    userId = _IdFilter(field_name="user_id", strip=False)
    types = _TypesFilter(field_name="type", lookup_expr="in")

    class Meta:
        model = Action
        fields: tuple[str, ...] = ()

    @classmethod
    @functools.cache
    def form_class(cls) -> type[forms.Form]:
        """Return the form that checks the filters' values; django-filter itself would make it for each request."""
        fields = {name: declared.field for name, declared in cls.get_filters().items()}  # type: ignore[no-untyped-call]
        return type(f"{cls.__name__}Form", (forms.Form,), fields)

    def get_form_class(self) -> type[forms.Form]:
        return self.form_class()


class ActionFilter(ChangeFilter):
    """The filters of GET /logs/ and of every command and page that chooses actions.

    >>> ActionFilter({"types": "CLICK", "from": "2018-10-18T00:00:00-06:00"}, Action.objects.all()).qs
    """

    sessionId = _IdFilter(field_name="log__session_id", strip=False)
    # `from` is a reserved word in Python.
    locals()["from"] = _TimeFilter(field_name="time", lookup_expr="gte")
    to = _TimeFilter(field_name="time", lookup_expr="lte")


def _refusal(code: ErrorCode, text: str = "") -> ValidationError:
    return ValidationError(text or code.sentence, code=code.name)
