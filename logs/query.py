"""The query string of GET /logs/: every parameter checked, then what it chooses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import parse_qsl

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import Exists, OuterRef, QuerySet
from django.utils.datastructures import MultiValueDict

from logs.errors import ErrorCode, LogStoreError, Violation
from logs.filters import ActionFilter
from logs.jsontext import has_forbidden_character
from logs.models import Action, ActionQuerySet, Log
from logs.pagination import MAX_LIMIT, Cursor, IdRange, Order, Page, find_page

FORMATS = ("json", "ndjson")


class PageForm(forms.Form):
    """The parameters that say which logs of an answer, in which order and format."""

    limit = forms.RegexField(r"\A[0-9]{1,5}\Z", required=False)
    cursor = forms.Field(required=False)
    order = forms.ChoiceField(choices=[(order.value, order.name) for order in Order], required=False)
    format = forms.ChoiceField(choices=[(name, name) for name in FORMATS], required=False)

    def clean_limit(self) -> int | None:
        limit = int(self.cleaned_data["limit"] or 0) or None
        if self.cleaned_data["limit"] and (limit is None or limit > MAX_LIMIT):
            raise ValidationError(ErrorCode.INVALID_PARAMETER.sentence)
        return limit

    def clean_cursor(self) -> Cursor | None:
        try:
            return Cursor.decode(self.cleaned_data["cursor"]) if self.cleaned_data["cursor"] else None
        except ValueError:
            raise _invalid_cursor() from None

    def clean(self) -> None:
        order = Order(self.cleaned_data.get("order") or Order.OLDEST)
        cursor = self.cleaned_data.get("cursor")
        if cursor is not None and cursor.order is not order:
            self.add_error("cursor", _invalid_cursor())
        self.cleaned_data["order"] = order


PARAMETERS = (*ActionFilter.base_filters, *PageForm.base_fields)
_REPEATABLE = {"types"}


class LogQuery:
    """A checked query string and what it chooses.

    query_string: as WSGI hands it over, percent-encoded.
    Raises LogStoreError with one violation a parameter, in the order in which they came.
    """

    def __init__(self, query_string: str) -> None:
        given = _parse(query_string)
        data = MultiValueDict({name: [value for value in values if value] for name, values in given.items()})
        self._filter = ActionFilter(data, Action.objects.all())
        page = PageForm(data)
        violations = _form_violations(self._filter.form) | _form_violations(page) | _misuses(given)
        if violations:
            raise LogStoreError.from_violations([violations[name] for name in given if name in violations])
        self.user_id: str | None = data.get("userId")
        self.limit: int | None = page.cleaned_data["limit"]
        self.order: Order = page.cleaned_data["order"]
        self._rest = page.cleaned_data["cursor"].rest if page.cleaned_data["cursor"] else IdRange()

    @property
    def identity(self) -> str:
        """A text that is the same for two queries only if they mean the same."""
        return repr([self._filter.form.cleaned_data, self.limit, self.order, self._rest])

    def page(self) -> Page:
        """The logs of the answer: the next `limit` with a matching action, without limit all from the cursor on."""
        return Page(self._rest) if self.limit is None else find_page(self._logs(), self.order, self.limit)

    def actions(self, page: Page) -> ActionQuerySet:
        """The matching actions of a page, in the order of the answer."""
        actions = self._filter.qs.of_logs(page.ids.on("log__id"))
        return actions.in_log_order(newest_first=self.order is Order.NEWEST)

    def _logs(self) -> QuerySet[Log]:
        chosen = self._filter.form.cleaned_data
        matching = self._filter.qs.filter(user_id=OuterRef("user_id"), log_id=OuterRef("id"))
        logs = Log.objects.filter(Exists(matching), self._rest.on("id"))
        if self.user_id is not None:
            logs = logs.filter(user_id=self.user_id)
        # What a log says of its actions spares a look at them.
        if chosen["from"]:
            logs = logs.filter(last_time__gte=chosen["from"])
        if chosen["to"]:
            logs = logs.filter(first_time__lte=chosen["to"])
        return logs.order_by("-id" if self.order is Order.NEWEST else "id")


def _parse(query_string: str) -> dict[str, list[str]]:
    # WSGI hands bytes over as Latin-1. Bytes that are not UTF-8 become lone surrogates, which no parameter takes.
    text = query_string.encode("latin-1").decode("utf-8", "surrogateescape")
    given: dict[str, list[str]] = {}
    for name, value in parse_qsl(text, keep_blank_values=True, errors="surrogateescape"):
        given.setdefault(name, []).append(value)
    return given


def _misuses(given: Mapping[str, Sequence[str]]) -> dict[str, Violation]:
    misuses = {}
    for name, values in given.items():
        if name not in PARAMETERS:
            misuses[name] = Violation(ErrorCode.UNKNOWN_PARAMETER, parameter=name.encode(errors="replace").decode())
        elif len(values) > 1 and name not in _REPEATABLE:
            misuses[name] = Violation(ErrorCode.INVALID_PARAMETER, parameter=name)
        elif name == "userId" and has_forbidden_character(values[0]):
            misuses[name] = Violation(ErrorCode.INVALID_CHARACTER, parameter=name)
    return misuses


def _form_violations(form: forms.Form) -> dict[str, Violation]:
    return {
        name: Violation(ErrorCode.__members__.get(errors[0].code, ErrorCode.INVALID_PARAMETER), parameter=name)
        for name, errors in form.errors.as_data().items()
    }


def _invalid_cursor() -> ValidationError:
    return ValidationError(ErrorCode.INVALID_CURSOR.sentence, code=ErrorCode.INVALID_CURSOR.name)
