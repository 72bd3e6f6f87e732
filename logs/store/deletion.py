"""Delete actions, and the logs that are left empty, in batches that hold up a writer for moments only.

A batch is a transaction: its actions, and the counts of their logs, or the logs where nothing is left of them.
"""

from __future__ import annotations

import itertools
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Protocol, TypeVar

from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper
from django.db.models import Exists, F, OuterRef, QuerySet

from logs.lib.database import values_table
from logs.lib.transactions import retried
from logs.models import ACTION_COUNT, Action, ActionType, Log
from logs.store import rollups
from logs.store.distribution import is_distributed

BATCH_ACTIONS = 5000
_BATCH_LOGS = 500

# SQLite gives its lock to whoever asks at the right moment; one who waits asks every 100 ms.
# https://www.sqlite.org/c3ref/busy_timeout.html
_PAUSE_SECONDS = 0.15

_LogKey = tuple[str, int]
Row = TypeVar("Row", bound=tuple[Any, ...])


class Note(Protocol):
    """Writes down, in the transaction of a batch, how much that deleted: `log_count` and `action_count`."""

    def __call__(self, counts: Mapping[str, int], /) -> object: ...


def delete_whole_logs(before: datetime) -> Iterator[int]:
    """Delete logs whose actions are all before a time, yielding after each batch how many actions that were.

    Six times as fast as delete_actions, and nearly all of what is old. Left to that are logs that last longer than a
    day, logs of more actions than a batch has, and on SQLite and on a cluster all.
    """
    if connection.vendor != "postgresql" or is_distributed():
        return
    chosen = (
        Log.objects.annotate(size=ACTION_COUNT)
        .filter(first_time__lt=before, last_time__lt=before, size__lte=BATCH_ACTIONS)
        .filter(last_time__lt=F("first_time") + timedelta(days=1))
        .order_by("first_time")
    )
    last = datetime.min.replace(tzinfo=UTC)
    while True:
        rest = chosen.filter(first_time__gte=last).values_list("id", "first_time", "last_time", "size")[:_BATCH_LOGS]
        sizes = itertools.accumulate(size for *_, size in rest)
        batch = [log for log, actions in zip(rest, sizes, strict=True) if actions <= BATCH_ACTIONS]
        if not batch:
            return
        last = batch[-1][1]
        with transaction.atomic(durable=True), connection.cursor() as cursor:
            # What a crash brings back, the next purge deletes again.
            cursor.execute("SET LOCAL synchronous_commit = off")
            rollups.forget(moment for _, *times, _ in batch for moment in times)
            cursor.execute(_LOCK_WHOLE_LOGS, [[row[0] for row in batch], before])
            locked = cursor.fetchall()
            ids = [log_id for _, log_id in locked]
            cursor.execute(_DELETE_ACTIONS_OF_LOGS, [[user_id for user_id, _ in locked], ids])
            deleted = cursor.rowcount
            cursor.execute("DELETE FROM logs_log WHERE id = ANY(%s)", [ids])
        yield deleted


def delete_actions(chosen: QuerySet[Action], order: str, note: Note | None = None) -> Iterator[int]:
    """Delete chosen actions, yielding after each batch how many that were.

    order: the column along whose index they are found.
    """
    chosen = chosen.order_by(order)
    last = None
    while True:
        # From where the last batch ended: what lies before is full of rows just deleted.
        rest = chosen if last is None else chosen.filter(**{f"{order}__gte": last})
        batch = list(rest.values_list("user_id", "log_id", "id", "time", order)[:BATCH_ACTIONS])
        if not batch:
            return
        last = batch[-1][-1]
        # On a cluster those of one user lie on one machine: a transaction over several of them would wait for writers
        # on one and have others wait on another.
        groups = _by_user(batch) if is_distributed() else [batch]
        yield sum(retried(partial(_delete_batch, group, note)) for group in groups)
        if connection.vendor == "sqlite":
            time.sleep(_PAUSE_SECONDS)


def delete_logs_without_actions(chosen: QuerySet[Log], note: Note | None = None) -> None:
    """Delete what no constraint of SQLite's forbids: logs that never had an action."""
    own = Action.objects.filter(user_id=OuterRef("user_id"), log_id=OuterRef("id"))
    logs = list(chosen.filter(~Exists(own)).values_list("user_id", "id"))
    for start in range(0, len(logs), BATCH_ACTIONS):
        batch = logs[start : start + BATCH_ACTIONS]
        for group in _by_user(batch) if is_distributed() else [batch]:
            retried(partial(_delete_batch_if_empty, group, note))


def _by_user(rows: Iterable[Row]) -> Iterable[list[Row]]:
    groups: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        groups[row[0]].append(row)
    return groups.values()


def _delete_batch_if_empty(batch: Sequence[_LogKey], note: Note | None) -> None:
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        _lock_logs(cursor, batch)
        gone = _delete_if_empty(cursor, batch)
        if note is not None:
            note({"log_count": len(gone)})


def _delete_batch(batch: Sequence[tuple[str, int, int, datetime, Any]], note: Note | None) -> int:
    """Delete actions, given as (user_id, log_id, id, time, …), in one transaction."""
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        rollups.forget(row[3] for row in batch)
        _lock_logs(cursor, (row[:2] for row in batch))
        # Only now is it certain that no writer is at work on these logs.
        _execute_on(cursor, _DELETE_ACTIONS, [(user_id, action_id) for user_id, _, action_id, *_ in batch])
        deleted: defaultdict[_LogKey, Counter[str]] = defaultdict(Counter)
        for user_id, log_id, action_type in cursor.fetchall():
            deleted[user_id, log_id][action_type] += 1
        return _settle(cursor, deleted, note)


def _settle(cursor: CursorWrapper, deleted: Mapping[_LogKey, Counter[str]], note: Note | None) -> int:
    """Delete the logs that are left empty, take what was deleted off the counts of the others, and return its sum.

    deleted: how many actions of which type, by (user_id, log_id).
    """
    total = sum(types.total() for types in deleted.values())
    if not deleted:
        return total
    gone = _delete_if_empty(cursor, list(deleted))
    left: list[list[str | int]] = [
        [*log, *(types[name] for name in ActionType.values)] for log, types in deleted.items() if log not in gone
    ]
    if left:
        table, values = values_table(left)
        users = list({log[0] for log in left})
        cursor.execute(_SUBTRACT.format(deleted=table, users=", ".join(["%s"] * len(users))), [*values, *users])
    if note is not None:
        note({"log_count": len(gone), "action_count": total})
    return total


def _delete_if_empty(cursor: CursorWrapper, logs: Sequence[_LogKey]) -> set[_LogKey]:
    """Delete those of some logs that have no actions, and return them."""
    _execute_on(cursor, _DELETE_LOGS, logs)
    return set(cursor.fetchall())


def _execute_on(cursor: CursorWrapper, statement: str, rows: Sequence[tuple[str, int]]) -> None:
    """Execute a statement on rows by their (user_id, id)."""
    if connection.vendor == "postgresql":
        # Not by a table of values, of which the planner expects so many that it reads all logs; and Citus sees by the
        # users to which machine it must go.
        chosen = statement.format(chosen="user_id = ANY(%s) AND id = ANY(%s)")
        cursor.execute(chosen, [list({user_id for user_id, _ in rows}), [row_id for _, row_id in rows]])
    else:
        table, values = values_table(rows)
        cursor.execute(statement.format(chosen=f"(user_id, id) IN (SELECT * FROM ({table}))"), values)


def _lock_logs(cursor: CursorWrapper, logs: Iterable[_LogKey]) -> None:
    """Lock the logs of a batch in the order of (user_id, session_id), as store.append does: nobody waits for ever."""
    if connection.vendor == "sqlite":
        # The transaction has locked everything.
        return
    log_ids: defaultdict[str, set[int]] = defaultdict(set)
    for user_id, log_id in logs:
        log_ids[user_id].add(log_id)
    # The database sorts: its order of texts may be another than Python's. One statement a user, because a cluster can't
    # lock rows on several machines with one.
    cursor.execute("SELECT u FROM unnest(%s::varchar[]) u ORDER BY u", [list(log_ids)])
    users = [user_id for (user_id,) in cursor.fetchall()]
    parameters = [value for user_id in users for value in (user_id, list(log_ids[user_id]))]
    cursor.execute(";".join([_LOCK_LOGS] * len(users)), parameters)


_LOCK_WHOLE_LOGS = """
    SELECT user_id, id FROM logs_log WHERE id = ANY(%s) AND last_time < %s ORDER BY user_id, session_id FOR UPDATE
"""
_DELETE_ACTIONS_OF_LOGS = """
    DELETE FROM logs_action USING unnest(%s::varchar[], %s::bigint[]) AS gone (user_id, id)
    WHERE (logs_action.user_id, logs_action.log_id) = (gone.user_id, gone.id)
"""
_LOCK_LOGS = "SELECT 1 FROM logs_log WHERE user_id = %s AND id = ANY(%s) ORDER BY session_id FOR UPDATE"
_DELETE_ACTIONS = "DELETE FROM logs_action WHERE {chosen} RETURNING user_id, log_id, type"
_OF_LOG = "FROM logs_action WHERE (logs_action.user_id, logs_action.log_id) = (logs_log.user_id, logs_log.id)"
_DELETE_LOGS = f"""
    DELETE FROM logs_log WHERE {{chosen}} AND NOT EXISTS (SELECT 1 {_OF_LOG}) RETURNING user_id, id
"""
# Never below 0, so that counts that were wrong before don't stop a purge.
_COUNTERS = ", ".join(
    f"{action_type.counter} = CASE WHEN {action_type.counter} > deleted.{action_type.value}"
    f" THEN {action_type.counter} - deleted.{action_type.value} ELSE 0 END"
    for action_type in ActionType
)
_SUBTRACT = f"""
    WITH deleted (user_id, id, {", ".join(ActionType.values)}) AS ({{deleted}})
    UPDATE logs_log SET
        version = version + 1,
        first_time = (SELECT min(time) {_OF_LOG}),
        last_time = (SELECT max(time) {_OF_LOG}),
        {_COUNTERS}
    FROM deleted
    WHERE (logs_log.user_id, logs_log.id) = (deleted.user_id, deleted.id) AND logs_log.user_id IN ({{users}})
"""
