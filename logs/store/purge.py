"""Delete actions and logs by age, by user, or both, in batches that hold up a writer for moments only.

To erase a user is to purge all of theirs, without a time: then nothing that names them is left in any table, and
nothing of theirs is stored again. See logs.store.erasures.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper
from django.db.models import Count, Exists, OuterRef, Q, QuerySet, Sum, Value
from django.db.models.functions import StrIndex
from django.db.models.lookups import GreaterThan

from logs.lib.database import values_table
from logs.models import ACTION_COUNT, AccessKind, Action, ActionType, IdempotencyKey, Log
from logs.store import access_records, erasures, rollups

BATCH_ACTIONS = 5000

# SQLite gives its lock to whoever asks at the right moment; one who waits asks every 100 ms.
# https://www.sqlite.org/c3ref/busy_timeout.html
_PAUSE_SECONDS = 0.15


@dataclass(frozen=True)
class PurgeCounts:
    """How many logs and actions were deleted, or would be."""

    logs: int = 0
    actions: int = 0


@dataclass(frozen=True)
class Selection:
    """What to delete: actions before a time, actions of some users; with both, only what meets both.

    before: exclusive; None is any time.
    users: none means everybody's.
    log_id: of this log of theirs alone; None is all of them.
    """

    before: datetime | None = None
    users: Sequence[str] = ()
    log_id: int | None = None

    @property
    def is_erasure(self) -> bool:
        """Whether nothing that names the users is to be left."""
        return bool(self.users) and self.before is None and self.log_id is None

    def actions(self) -> QuerySet[Action]:
        return Action.objects.filter(self._of_users("log_id"), Q() if self.before is None else Q(time__lt=self.before))

    def logs(self) -> QuerySet[Log]:
        """Return the logs with an action that is to be deleted; without a time also those with none."""
        return Log.objects.filter(self._of_users("id"), Q() if self.before is None else Q(first_time__lt=self.before))

    def whole_logs(self) -> QuerySet[Log]:
        """Return the logs with no other action, which go too."""
        return Log.objects.filter(self._of_users("id"), Q() if self.before is None else Q(last_time__lt=self.before))

    def history(self) -> QuerySet[LogEntry]:
        """Return the admin's history of the users' logs and actions; nothing unless they are erased.

        An entry names a log as `user / session`, cut at the length of its column.
        """
        if not self.is_erasure:
            return LogEntry.objects.none()
        length = LogEntry._meta.get_field("object_repr").max_length
        entries = _entries_about(self.logs()) | _entries_about(self.actions())
        for user in self.users:
            # Of logs that are gone already.
            entries |= LogEntry.objects.filter(
                content_type=ContentType.objects.get_for_model(Log), object_repr__startswith=f"{user} / "[:length]
            )
        return entries

    def idempotency_keys(self) -> QuerySet[IdempotencyKey]:
        """Return the keys whose text holds a user's id, as clients may make them; nothing unless users are erased."""
        if not self.is_erasure:
            return IdempotencyKey.objects.none()
        keys = IdempotencyKey.objects.none()
        for user in self.users:
            # Not the lookup `contains`, which on SQLite takes capitals for small letters.
            keys |= IdempotencyKey.objects.filter(GreaterThan(StrIndex("key", Value(user)), 0))
        return keys

    def counts(self) -> PurgeCounts:
        """Return what purge() would delete, by the counts that logs keep; only for a selection without a time."""
        return PurgeCounts(**self.logs().aggregate(logs=Count("id"), actions=Sum(ACTION_COUNT, default=0)))

    def _of_users(self, name_of_log_id: str) -> Q:
        of_users = Q(user_id__in=self.users) if self.users else Q()
        return of_users if self.log_id is None else of_users & Q(**{name_of_log_id: self.log_id})


def purge(selection: Selection, by: str) -> Iterator[int]:
    """Delete what a selection chooses, yielding after each batch how many actions it deleted.

    A batch is a transaction: its actions, and the counts of their logs, or the logs where nothing is left of them. A
    purge that stopped may be started again. Logs that are stored while it runs may be left, unless it is an erasure.

    by: who erases users, if it is one: see ErasedUser.
    """
    if not selection.users:
        yield from _purge_in_order(selection)
    for user_id in selection.users:
        own = replace(selection, users=[user_id])
        if own.is_erasure:
            yield from _erase(own, by)
            continue
        yield from _purge_in_order(own)
        if own.before is None:
            _delete_logs_without_actions(own)


def erase_user(user_id: str, by: str) -> PurgeCounts:
    """Delete everything that names a user, and return how much that was. by: see ErasedUser."""
    return _purge_at_once(Selection(users=[user_id]), by)


def delete_log(user_id: str, log_id: int) -> PurgeCounts:
    """Delete a log with its actions, if it has any, and return how much that was."""
    return _purge_at_once(Selection(users=[user_id], log_id=log_id))


def _purge_at_once(selection: Selection, by: str = "") -> PurgeCounts:
    logs = selection.logs().count()
    return PurgeCounts(logs, sum(purge(selection, by)))


def _erase(selection: Selection, by: str) -> Iterator[int]:
    [user_id] = selection.users
    erasure = erasures.begin(user_id, by)
    with transaction.atomic(durable=True):
        # First, because it is found by way of the actions and logs that it is about.
        history, _ = selection.history().delete()
        keys, _ = selection.idempotency_keys().delete()
        erasures.add(erasure, {"history_count": history, "key_count": keys})
        access_records.forget_user(user_id)
    deleted = 0
    for count in _purge_in_order(selection, erasure):
        deleted += count
        yield count
    _delete_logs_without_actions(selection, erasure)
    with transaction.atomic(durable=True):
        access_records.note(AccessKind.ERASE, by, "one user", count=deleted)
        erasures.finish(erasure)


def _entries_about(rows: QuerySet[Log] | QuerySet[Action]) -> QuerySet[LogEntry]:
    entries = LogEntry.objects.filter(content_type=ContentType.objects.get_for_model(rows.model))
    texts = [object_id or "" for object_id in entries.values_list("object_id", flat=True)]
    ids = rows.filter(id__in=[int(text) for text in texts if text.isdecimal()]).values_list("id", flat=True)
    return entries.filter(object_id__in=[str(row_id) for row_id in ids])


def _purge_in_order(selection: Selection, erasure: int | None = None) -> Iterator[int]:
    # Along an index, from where the last batch ended: what lies before is full of rows just deleted.
    column = "log_id" if selection.users else "time"
    chosen = selection.actions().order_by(column)
    last = None
    while True:
        rest = chosen if last is None else chosen.filter(**{f"{column}__gte": last})
        batch = list(rest.values_list("user_id", "log_id", "id", "time", column)[:BATCH_ACTIONS])
        if not batch:
            return
        last = batch[-1][-1]
        yield _delete_batch([row[:3] for row in batch], [row[3] for row in batch], erasure)
        if connection.vendor == "sqlite":
            time.sleep(_PAUSE_SECONDS)


def _delete_batch(batch: Sequence[tuple[str, int, int]], times: Iterable[datetime], erasure: int | None) -> int:
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        rollups.forget(times)
        _lock_logs(cursor, ((user_id, log_id) for user_id, log_id, _ in batch))
        # Only now is it certain that no writer is at work on these logs.
        table, values = values_table([(user_id, action_id) for user_id, _, action_id in batch])
        cursor.execute(_DELETE_ACTIONS.format(actions=table), values)
        deleted: defaultdict[tuple[str, int], Counter[str]] = defaultdict(Counter)
        for user_id, log_id, action_type in cursor.fetchall():
            deleted[user_id, log_id][action_type] += 1
        if deleted:
            logs = _delete_if_empty(cursor, list(deleted))
            table, values = values_table(
                [(*log, *map(types.__getitem__, ActionType.values)) for log, types in deleted.items()]
            )
            cursor.execute(_SUBTRACT.format(deleted=table), values)
            if erasure is not None:
                erasures.add(erasure, {"log_count": logs, "action_count": _total(deleted)})
    return _total(deleted)


def _total(deleted: Mapping[tuple[str, int], Counter[str]]) -> int:
    return sum(types.total() for types in deleted.values())


def _delete_logs_without_actions(selection: Selection, erasure: int | None = None) -> None:
    """Delete what no constraint of SQLite's forbids: logs that never had an action."""
    own = Action.objects.filter(user_id=OuterRef("user_id"), log_id=OuterRef("id"))
    logs = list(selection.logs().filter(~Exists(own)).values_list("user_id", "id"))
    for start in range(0, len(logs), BATCH_ACTIONS):
        batch = logs[start : start + BATCH_ACTIONS]
        with transaction.atomic(durable=True), connection.cursor() as cursor:
            _lock_logs(cursor, batch)
            count = _delete_if_empty(cursor, batch)
            if erasure is not None:
                erasures.add(erasure, {"log_count": count})


def _delete_if_empty(cursor: CursorWrapper, logs: Sequence[tuple[str, int]]) -> int:
    """Delete those of some logs that have no actions, and return how many they were."""
    table, values = values_table(logs)
    cursor.execute(_DELETE_LOGS.format(logs=table), values)
    return len(cursor.fetchall())


def _lock_logs(cursor: CursorWrapper, logs: Iterable[tuple[str, int]]) -> None:
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


_LOCK_LOGS = "SELECT 1 FROM logs_log WHERE user_id = %s AND id = ANY(%s) ORDER BY session_id FOR UPDATE"
_DELETE_ACTIONS = """
    WITH chosen (user_id, id) AS ({actions})
    DELETE FROM logs_action WHERE (user_id, id) IN (SELECT user_id, id FROM chosen) RETURNING user_id, log_id, type
"""
_OF_LOG = "FROM logs_action WHERE (logs_action.user_id, logs_action.log_id) = (logs_log.user_id, logs_log.id)"
_DELETE_LOGS = f"""
    WITH chosen (user_id, id) AS ({{logs}})
    DELETE FROM logs_log
    WHERE (user_id, id) IN (SELECT user_id, id FROM chosen) AND NOT EXISTS (SELECT 1 {_OF_LOG})
    RETURNING 1
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
    WHERE (logs_log.user_id, logs_log.id) = (deleted.user_id, deleted.id)
"""
