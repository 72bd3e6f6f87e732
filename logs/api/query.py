"""The query string of GET /logs/: every parameter checked, then what it chooses."""

from __future__ import annotations

from functools import cached_property

from django.db.models import QuerySet

from logs.api.filters import ActionFilter
from logs.api.pagination import Cursor, Order
from logs.api.parameters import Parameters, whole_number
from logs.lib.errors import ErrorCode
from logs.lib.limits import MAX_ID_LENGTH, MAX_PAGE_LOGS
from logs.models import Action, ActionQuerySet, Log, WireRecord
from logs.store.read import IdRange, LogPage, fetch, find_page

_OTHERS = ("limit", "cursor", "order")


class LogQuery:
    """A checked query string and what it chooses.

    query_string: as WSGI hands it over, percent-encoded.
    Raises LogStoreError with one violation a parameter, in the order in which they came.
    """

    def __init__(self, query_string: str) -> None:
        parameters = Parameters(query_string)
        self.limit = parameters.read("limit", whole_number(1, MAX_PAGE_LOGS))
        self.order = parameters.read("order", Order) or Order.OLDEST
        cursor = parameters.read("cursor", Cursor.decode, ErrorCode.INVALID_CURSOR)
        if cursor is not None and cursor.order is not self.order:
            parameters.refuse("cursor", ErrorCode.INVALID_CURSOR)
        self._rest = cursor.rest if cursor else IdRange()
        self._data = parameters.data
        self._chosen = parameters.check(ActionFilter.form_class()(self._data), _OTHERS)
        self.user_id: str | None = self._chosen["userId"] or None

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
        if self.user_id and len(self.user_id) > MAX_ID_LENGTH:
            return []
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
        if chosen["sessionId"]:
            logs = logs.filter(session_id=chosen["sessionId"])
        # What a log says of its actions spares a look at them.
        if chosen["from"]:
            logs = logs.filter(last_time__gte=chosen["from"])
        if chosen["to"]:
            logs = logs.filter(first_time__lte=chosen["to"])
        return logs
