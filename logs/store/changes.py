"""What was stored, in an order in which nothing ever appears behind what was read: that of the actions' ids.

PostgreSQL deals an action its id while the transaction that stores it is open, and transactions end in any order. So
an id is read only once it is settled: once every transaction that may have been dealt it, or a lower one, has ended.
Such a transaction holds a lock on the table from before its first id until after what it stored can be seen.

SQLite has one writer at a time, and never deals an id twice: what is stored is settled.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from django.db import connection, transaction
from django.db.models import Max, QuerySet

from logs.lib.fields import WireAction
from logs.lib.transactions import limit_transaction
from logs.models import Action, ActionQuerySet

# A page of filtered changes looks through so many actions, and ends there.
MAX_SCANNED = 100_000
# Each may have properties of 32 KiB; what one page holds in memory is bounded by the characters of its actions.
MAX_PAGE_CHARACTERS = 16 << 20
_ROWS_AT_ONCE = 500
# In seconds: between two looks whether the transactions that are waited for have ended, at first and at the most.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.005, 0.1

_lock = threading.Lock()
# The settled ids that were found last, by the table's own number: another one's, such as a restored one's, are others.
_settled: dict[int, int] = {}


class ChangeRecord(NamedTuple):
    """A stored action as JSON text of the wire, with its id, its log and when it was received: None if nobody knows."""

    id: int
    log_id: int
    user_id: str
    session_id: str
    received_at: datetime | None
    action: str


@dataclass(frozen=True)
class ChangePage:
    """Stored actions by their ids.

    last: the id to go on from: the last one looked at, whether it was chosen or not.
    has_more: whether settled actions follow.
    """

    records: Sequence[ChangeRecord]
    last: int
    has_more: bool


def read_page(actions: ActionQuerySet, after: int, limit: int, settled: int, is_filtered: bool) -> ChangePage:
    """Return the next `limit` of some actions behind an id, none behind a settled one.

    actions: all, or those that a filter chooses.
    """
    end = _end_of_scan(after, settled) if is_filtered else settled
    records: list[ChangeRecord] = []
    size = 0
    chosen = _records(actions.filter(id__lte=end))
    while len(records) <= limit and size < MAX_PAGE_CHARACTERS:
        last = records[-1].id if records else after
        most = min(_ROWS_AT_ONCE, limit + 1 - len(records))
        some = [ChangeRecord(*row) for row in chosen.filter(id__gt=last)[:most]]
        records += some
        size += sum(len(record.action) for record in some)
        if len(some) < most:
            # Of what was not chosen, the last one was looked at, too.
            last = max(after, end) if is_filtered else (records[-1].id if records else after)
            return ChangePage(records, last, end < settled)
    if len(records) > limit:
        records.pop()
    return ChangePage(records, records[-1].id, True)


def settled_id(after: int | None, seconds: float) -> int | None:
    """Return the id of a stored action up to which all is settled: 0 where nothing is stored, None if nobody knows yet.

    after, seconds: while none is settled behind this id, wait so long for the transactions that are open; None: for all
    that are open now.
    Raises CursorAheadError for an id that was not dealt yet, as after a restored backup; django.db.Error when the
    database is away.
    """
    if connection.vendor != "postgresql":
        if after is not None and after > _last_id_of_sqlite():
            raise CursorAheadError
        return _newest()
    # One session of the server: were it to crash in between, ids that nobody has seen could be dealt once more.
    with transaction.atomic():
        limit_transaction()
        # First the ids, then who may still store one of them.
        table, last = _dealt()
        open_transactions = _writers()
        if after is not None and after > last:
            raise CursorAheadError
        with _lock:
            known = _settled.get(table)
        if known is not None and (after is None or known > last):
            known = None
        deadline, pause = time.monotonic() + seconds, _FIRST_PAUSE
        while open_transactions and (known is None or known <= (after or 0)) and time.monotonic() < deadline:
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
            open_transactions &= _writers()
        if not open_transactions:
            # An action that is stored, because its id is never dealt again, not even after a crash.
            known = _newest(last)
            with _lock:
                _settled[table] = known
    return known


class CursorAheadError(Exception):
    """An id was named that no action was dealt yet."""


def _end_of_scan(after: int, settled: int) -> int:
    ids = Action.objects.filter(id__gt=after, id__lte=settled).order_by("id").values_list("id", flat=True)
    return next(iter(ids[MAX_SCANNED - 1 : MAX_SCANNED]), settled)


def _records(actions: ActionQuerySet) -> QuerySet[Action, tuple[Any, ...]]:
    return (
        actions.with_log()
        .order_by("id")
        .values_list(
            "id",
            "log_id",
            "user_id",
            "its_log__session_id",
            "received_at",
            WireAction("time", "type", "properties"),
        )
    )


def _newest(last: int | None = None) -> int:
    actions = Action.objects.all() if last is None else Action.objects.filter(id__lte=last)
    return actions.aggregate(newest=Max("id"))["newest"] or 0


def _dealt() -> tuple[int, int]:
    """Return the number of the table, and the last id that was dealt to an action."""
    with connection.cursor() as cursor:
        cursor.execute(_DEALT)
        table, last = cursor.fetchone()
    return table, last


def _writers() -> set[str]:
    """Return the transactions that store actions or delete them."""
    with connection.cursor() as cursor:
        cursor.execute(_WRITERS)
        return {name for (name,) in cursor.fetchall()}


def _last_id_of_sqlite() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT seq FROM sqlite_sequence WHERE name = 'logs_action'")
        row = cursor.fetchone()
    return row[0] if row else 0


# Neither is of a snapshot: https://www.postgresql.org/docs/current/view-pg-locks.html
_DEALT = """
    SELECT 'logs_action'::regclass::oid::bigint, CASE WHEN is_called THEN last_value ELSE 0 END FROM logs_action_id_seq
"""
_WRITERS = """
    SELECT virtualtransaction FROM pg_locks
    WHERE locktype = 'relation' AND relation = 'logs_action'::regclass AND mode = 'RowExclusiveLock' AND granted
        AND pid IS DISTINCT FROM pg_backend_pid()
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
