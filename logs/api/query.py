"""The query string of GET /logs/: every parameter checked, then what it chooses."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TypeVar
from urllib.parse import parse_qsl

from django import forms
from django.db.models import QuerySet
from django.utils.datastructures import MultiValueDict

from logs.api.filters import ActionFilter
from logs.api.pagination import Cursor, Order
from logs.api.renderers import FORMATS
from logs.lib.errors import ErrorCode, LogStoreError, Violation
from logs.lib.limits import MAX_PAGE_LOGS
from logs.models import Action, ActionQuerySet, Log, WireRecord
from logs.store.read import IdRange, LogPage, fetch, find_page

T = TypeVar("T")

PARAMETERS = (*ActionFilter.form_class().base_fields, "limit", "cursor", "order", "format")
_REPEATABLE = {"types"}

_is_number = re.compile("[0-9]{1,9}").fullmatch


class LogQuery:
    """A checked query string and what it chooses.

    query_string: as WSGI hands it over, percent-encoded.
    Raises LogStoreError with one violation a parameter, in the order in which they came.
    """

    def __init__(self, query_string: str) -> None:
        given = _parse(query_string)
        data = MultiValueDict({name: [value for value in values if value] for name, values in given.items()})
        refused: dict[str, Violation] = {}

        def read(name: str, parse: Callable[[str], T], code: ErrorCode = ErrorCode.INVALID_PARAMETER) -> T | None:
            try:
                return parse(value) if (value := data.get(name)) and isinstance(value, str) else None
            except ValueError:
                refused[name] = _violation(name, code)
                return None

        self.user_id: str | None = data.get("userId") or None
        self.limit = read("limit", _parse_limit)
        self.order = read("order", Order) or Order.OLDEST
        read("format", _parse_format)
        cursor = read("cursor", Cursor.decode, ErrorCode.INVALID_CURSOR)
        if cursor is not None and cursor.order is not self.order:
            refused["cursor"] = _violation("cursor", ErrorCode.INVALID_CURSOR)
        self._rest = cursor.rest if cursor else IdRange()
        self._data = data
        form = ActionFilter.form_class()(data)
        refused |= _refused_by_form(form) | _misused(given)
        if refused:
            raise LogStoreError.from_violations([refused[name] for name in given if name in refused])
        self._chosen = form.cleaned_data

    @property
    def identity(self) -> str:
        """A text that is the same for two queries only if they mean the same."""
        return repr([self._chosen, self.limit, self.order, self._rest])

    def page(self) -> LogPage:
        """Return the logs of the answer: the next `limit` with a matching action, or all behind the cursor."""
        return find_page(self._actions, self._logs(), self.order is Order.NEWEST, self.limit)

    def actions(self, page: LogPage | None = None) -> ActionQuerySet:
        """Return the matching actions of a page, or of all logs from the cursor on, in the order of the answer."""
        ids = self._rest if page is None else page.ids
        return self._actions.in_log_order(self.order is Order.NEWEST, ids.on("log__id"))

    def short_records(self, most: int) -> list[WireRecord] | None:
        """Return all matching actions in the order of the answer; None if they are more than `most`, or a page."""
        if self.limit is not None or self._rest != IdRange():
            return None
        chosen = {name: value for name, value in self._chosen.items() if value}
        parameters = [item for value in chosen.values() for item in (value if isinstance(value, list) else [value])]
        shape = (self.order, most, len(parameters), *chosen)
        records = fetch(lambda: self.actions().wire_records()[: most + 1], shape, parameters)
        return records if len(records) <= most else None

    @cached_property
    def _actions(self) -> ActionQuerySet:
        # Only when it is needed: the SQL of a short answer is known, and a filter set takes as long as its form.
        actions: ActionQuerySet = ActionFilter(self._data, Action.objects.all()).qs
        return actions

    def _logs(self) -> QuerySet[Log]:
        chosen = self._chosen
        logs = Log.objects.filter(self._rest.on("id"))
        if self.user_id is not None:
            logs = logs.filter(user_id=self.user_id)
        # What a log says of its actions spares a look at them.
        if chosen["from"]:
            logs = logs.filter(last_time__gte=chosen["from"])
        if chosen["to"]:
            logs = logs.filter(first_time__lte=chosen["to"])
        return logs


def _parse(query_string: str) -> dict[str, list[str]]:
    # WSGI hands bytes over as Latin-1. Bytes that are not UTF-8 become lone surrogates, which no parameter takes.
    text = query_string.encode("latin-1").decode("utf-8", "surrogateescape")
    given: dict[str, list[str]] = {}
    for name, value in parse_qsl(text, keep_blank_values=True, errors="surrogateescape"):
        given.setdefault(name, []).append(value)
    return given


def _misused(given: Mapping[str, Sequence[str]]) -> dict[str, Violation]:
    misused = {}
    for name, values in given.items():
        if name not in PARAMETERS:
            misused[name] = _violation(name, ErrorCode.UNKNOWN_PARAMETER)
        elif len(values) > 1 and name not in _REPEATABLE:
            misused[name] = _violation(name, ErrorCode.INVALID_PARAMETER)
    return misused


def _refused_by_form(form: forms.Form) -> dict[str, Violation]:
    refused = {}
    for name, [error, *_] in form.errors.as_data().items():
        code = ErrorCode.__members__.get(str(error.code))
        # What Django itself says of a value is not for an answer.
        refused[name] = _violation(name, code or ErrorCode.INVALID_PARAMETER, str(error.message) if code else "")
    return refused


def _violation(name: str, code: ErrorCode, detail: str = "") -> Violation:
    return Violation(code, parameter=_shown(name), detail=detail)


def _parse_format(text: str) -> str:
    if text not in FORMATS:
        raise ValueError("not a format")
    return text


def _parse_limit(text: str) -> int:
    if not _is_number(text) or not 1 <= int(text) <= MAX_PAGE_LOGS:
        raise ValueError("not a limit")
    return int(text)


def _shown(name: str) -> str:
    """Return a parameter's name as an answer can hold it: a lone surrogate stands for a byte that is not UTF-8."""
    return name.encode(errors="replace").decode()
