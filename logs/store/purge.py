"""Actions and logs out of the store: by age, by user, or both; in batches that hold up a writer for moments only."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper
from django.db.models import Count, F, Q, QuerySet, Sum

from logs.lib.database import given, with_given
from logs.models import Action, Log
from logs.store import rollups

BATCH_ACTIONS = 5000

# SQLite gives its lock to whoever asks at the right moment; one who waits asks every 100 ms.
# https://www.sqlite.org/c3ref/busy_timeout.html
_PAUSE_SECONDS = 0.15


@dataclass(frozen=True)
class Selection:
    """What to delete: actions before a time, actions of some users; with both, only what meets both.

    before: exclusive. users: none means everybody's. log_id: of one log of theirs alone.
    """

    before: datetime | None = None
    users: Sequence[str] = ()
    log_id: int | None = None

    @property
    def is_erasure(self) -> bool:
        """Whether nothing of the users is to be left."""
        return bool(self.users) and self.before is None and self.log_id is None

    def actions(self) -> QuerySet[Action]:
        return Action.objects.filter(self._of_users("log_id"), Q() if self.before is None else Q(time__lt=self.before))

    def logs(self) -> QuerySet[Log]:
        """The logs with an action that is to be deleted."""
        return Log.objects.filter(self._of_users("id"), Q() if self.before is None else Q(first_time__lt=self.before))

    def whole_logs(self) -> QuerySet[Log]:
        """The logs with no other action, which go too."""
        return Log.objects.filter(self._of_users("id"), Q() if self.before is None else Q(last_time__lt=self.before))

    def history(self) -> QuerySet[LogEntry]:
        """What the admin remembers of the users' logs and actions; nothing unless they are erased.

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

    def _of_users(self, name_of_log_id: str) -> Q:
        of_users = Q(user_id__in=self.users) if self.users else Q()
        return of_users if self.log_id is None else of_users & Q(**{name_of_log_id: self.log_id})


def purge(selection: Selection) -> Iterator[int]:
    """Delete what a selection chooses, yielding after each batch how many actions it deleted.

    A batch is a transaction: its actions, and the figures of their logs, or the logs where nothing is left of them. A
    purge that stopped may be started again.
    """
    # First, because it is found by way of the actions and logs that it is about.
    selection.history().delete()
    for users in [[user] for user in selection.users] or [[]]:
        yield from _purge_in_order(replace(selection, users=users))
    if selection.is_erasure:
        # What no constraint of SQLite's forbids: a log that never had an action.
        _delete_empty_logs(selection.users)


def _entries_about(rows: QuerySet[Log] | QuerySet[Action]) -> QuerySet[LogEntry]:
    entries = LogEntry.objects.filter(content_type=ContentType.objects.get_for_model(rows.model))
    named = [object_id for object_id in entries.values_list("object_id", flat=True) if (object_id or "").isdecimal()]
    ids = rows.filter(id__in=named).values_list("id", flat=True)
    return entries.filter(object_id__in=[str(row_id) for row_id in ids])


def _purge_in_order(selection: Selection) -> Iterator[int]:
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
        yield _delete_batch([row[:3] for row in batch], [row[3] for row in batch])
        if connection.vendor == "sqlite":
            time.sleep(_PAUSE_SECONDS)


def _delete_batch(batch: Sequence[tuple[str, int, int]], times: Iterable[datetime]) -> int:
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        rollups.forget(times)
        _lock_logs(cursor, batch)
        # Only now is it certain that no writer is at work on these logs.
        actions = given({"user_id": user_id, "id": action_id} for user_id, _, action_id in batch)
        cursor.execute(with_given(_DELETE_ACTIONS), [actions])
        types: defaultdict[tuple[str, int], Counter[str]] = defaultdict(Counter)
        for user_id, log_id, action_type in cursor.fetchall():
            types[user_id, log_id][action_type.lower()] += 1
        logs = given(
            {"user_id": user_id, "id": log_id, "click": 0, "view": 0, "navigate": 0, **counts}
            for (user_id, log_id), counts in types.items()
        )
        cursor.execute(with_given(_DELETE_EMPTY_LOGS), [logs])
        cursor.execute(with_given(_TAKE_OFF), [logs])
    return sum(counts.total() for counts in types.values())


def _lock_logs(cursor: CursorWrapper, batch: Iterable[tuple[str, int, int]]) -> None:
    """Lock the logs of a batch in the order of (user_id, session_id), as store.append does: nobody waits for ever."""
    if connection.vendor == "sqlite":
        # The transaction has locked everything.
        return
    log_ids: defaultdict[str, set[int]] = defaultdict(set)
    for user_id, log_id, _ in batch:
        log_ids[user_id].add(log_id)
    # The database sorts: its order of texts may be another than Python's. One statement a user, because a cluster can't
    # lock rows on several machines with one.
    cursor.execute("SELECT u FROM unnest(%s::varchar[]) u ORDER BY u", [list(log_ids)])
    users = [user_id for (user_id,) in cursor.fetchall()]
    parameters = [value for user_id in users for value in (user_id, list(log_ids[user_id]))]
    cursor.execute(";".join([_LOCK_LOGS] * len(users)), parameters)


def _delete_empty_logs(users: Iterable[str]) -> None:
    for user_id in users:
        with transaction.atomic(durable=True), connection.cursor() as cursor:
            ids = Log.objects.filter(user_id=user_id).values_list("id", flat=True)
            batch = [(user_id, log_id, 0) for log_id in ids]
            if batch:
                _lock_logs(cursor, batch)
                logs = given({"user_id": user_id, "id": log_id} for _, log_id, _ in batch)
                cursor.execute(with_given(_DELETE_EMPTY_LOGS), [logs])


_LOCK_LOGS = "SELECT 1 FROM logs_log WHERE user_id = %s AND id = ANY(%s) ORDER BY session_id FOR UPDATE"
_DELETE_ACTIONS = """
    DELETE FROM logs_action WHERE (user_id, id) IN (SELECT user_id, id FROM {given}) RETURNING user_id, log_id, type
"""
_OF_LOG = "FROM logs_action WHERE (logs_action.user_id, logs_action.log_id) = (logs_log.user_id, logs_log.id)"
_DELETE_EMPTY_LOGS = f"""
    DELETE FROM logs_log WHERE (user_id, id) IN (SELECT user_id, id FROM {{given}}) AND NOT EXISTS (SELECT 1 {_OF_LOG})
"""
# Never below 0, so that figures that were wrong before don't stop a purge.
_TAKE_OFF = f"""
    UPDATE logs_log SET
        version = version + 1,
        first_time = (SELECT min(time) {_OF_LOG}),
        last_time = (SELECT max(time) {_OF_LOG}),
        click_count = {{greatest}}(click_count - given.click, 0),
        view_count = {{greatest}}(view_count - given.view, 0),
        navigate_count = {{greatest}}(navigate_count - given.navigate, 0)
    FROM {{given}}
    WHERE (logs_log.user_id, logs_log.id) = (given.user_id, given.id)
"""


@dataclass(frozen=True)
class Erased:
    """How much was deleted, or would be."""

    logs: int = 0
    actions: int = 0


def what_is_stored_of(user_id: str) -> Erased:
    """What erase_user would delete."""
    actions = F("click_count") + F("view_count") + F("navigate_count")
    stored = Selection(users=[user_id]).logs().aggregate(logs=Count("id"), actions=Sum(actions, default=0))
    return Erased(**stored)


def erase_user(user_id: str) -> Erased:
    """Delete everything that is stored of a user, and return how much that was.

    Logs that come while it runs may be left. May be run again where it broke off.
    """
    return _purge(Selection(users=[user_id]))


def delete_log(user_id: str, log_id: int) -> Erased:
    """Delete a log with its actions, and return how much that was."""
    return _purge(Selection(users=[user_id], log_id=log_id))


def _purge(selection: Selection) -> Erased:
    logs = selection.logs().count()
    return Erased(logs, sum(purge(selection)))
