"""GET /logs/changes: what was stored since a cursor, as soon as there is something."""

from __future__ import annotations

import time
from datetime import datetime

from django.core import signing

from logs.api.filters import ChangeFilter
from logs.api.parameters import Parameters, whole_number
from logs.api.renderers import LINES, Layout, encode_string
from logs.lib import times
from logs.lib.errors import ErrorCode, LogStoreError, Violation
from logs.lib.limits import MAX_PAGE_CHANGES, MAX_WAIT
from logs.models import Action, ActionQuerySet
from logs.store.arrivals import arrivals
from logs.store.changes import ChangePage, ChangeRecord, CursorAheadError, read_page, settled_id

NOW = "now"
DEFAULT_LIMIT = 1_000
# In seconds: for how long a request that need not wait does so for the transactions that are open, so that whoever has
# stored something finds it; and for how long one that asks for what comes from now on.
_PATIENCE, _PATIENCE_FOR_NOW = 2.0, 10.0
_AHEAD = (
    "This store has not come as far as the cursor: it is another store's, or from before a backup was restored. Begin"
    " again without a cursor."
)
_NOT_SETTLED = "Transactions that are open for long keep it unsaid what was stored last; try again."

_signer = signing.Signer(salt="logs.changes.cursor")


class ChangesQuery:
    """A checked query string, and the changes that it asks for.

    query_string: as WSGI hands it over, percent-encoded.
    Raises LogStoreError with one violation a parameter, in the order in which they came.
    """

    def __init__(self, query_string: str) -> None:
        parameters = Parameters(query_string)
        self._after = parameters.read("after", _parse_cursor, ErrorCode.INVALID_CURSOR)
        self._limit = parameters.read("limit", whole_number(1, MAX_PAGE_CHANGES)) or DEFAULT_LIMIT
        self._wait = parameters.read("wait", whole_number(0, MAX_WAIT)) or 0
        chosen = parameters.check(ChangeFilter.form_class()(parameters.data), ("after", "limit", "wait"))
        self._is_filtered = any(chosen.values())
        self._actions: ActionQuerySet = ChangeFilter(parameters.data, Action.objects.all()).qs

    def page(self) -> ChangePage:
        """Return the next page, an empty one only where nothing comes for as long as the query waits.

        While it waits it holds no connection to the database, unless what it waits for is a transaction that is open.
        Raises LogStoreError for a cursor ahead of the store, or where nobody can tell yet what `now` is.
        """
        page = ChangePage([], self._begin(), False)
        with arrivals.place() as may_wait:
            deadline = time.monotonic() + (self._wait if may_wait else 0)
            while True:
                count = arrivals.count
                page = self._read(page.last, max(deadline - time.monotonic(), _PATIENCE))
                left = deadline - time.monotonic()
                if page.records or left <= 0 or arrivals.is_stopping:
                    return page
                if not page.has_more:
                    arrivals.wait(count, left)

    def _begin(self) -> int:
        if self._after is None:
            return 0
        if isinstance(self._after, int):
            return self._after
        settled = settled_id(None, _PATIENCE_FOR_NOW)
        if settled is None:
            raise LogStoreError(ErrorCode.STORE_UNAVAILABLE, _NOT_SETTLED)
        return settled

    def _read(self, after: int, seconds: float) -> ChangePage:
        try:
            settled = settled_id(after, seconds)
        except CursorAheadError:
            violation = Violation(ErrorCode.INVALID_CURSOR, parameter="after", detail=_AHEAD)
            raise LogStoreError.from_violations([violation]) from None
        if settled is None or settled <= after:
            return ChangePage([], after, False)
        return read_page(self._actions, after, self._limit, settled, self._is_filtered)


def render_changes(page: ChangePage, layout: Layout) -> bytes:
    """Return a page as the wire has it.

    A change is what a log was given at one time; its actions stand together, though another log's came between two.
    """
    changes: dict[tuple[int, datetime | None], list[ChangeRecord]] = {}
    for record in page.records:
        changes.setdefault((record.log_id, record.received_at), []).append(record)
    ending = f'"cursor":{encode_string(_signer.sign_object(page.last))},"more":{"true" if page.has_more else "false"}}}'
    written = map(_change, changes.values())
    if layout is LINES:
        return "\n".join([*written, f"{{{ending}", ""]).encode()
    return f'{{"changes":[{",".join(written)}],{ending}'.encode()


def _change(records: list[ChangeRecord]) -> str:
    first = records[0]
    received = "null" if first.received_at is None else f'"{times.format_received(first.received_at)}"'
    actions = ",".join(record.action for record in records)
    return (
        f'{{"receivedAt":{received},"userId":{encode_string(first.user_id)},'
        f'"sessionId":{encode_string(first.session_id)},"actions":[{actions}]}}'
    )


def _parse_cursor(text: str) -> int | str:
    if text == NOW:
        return NOW
    try:
        return int(_signer.unsign_object(text))
    except signing.BadSignature:
        raise ValueError("not a cursor of this store") from None
