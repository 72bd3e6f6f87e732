"""Delete actions and logs by age, by user, or both.

To erase a user is to purge all of theirs, without a time: then nothing that names them is left in any table, and
nothing of theirs is stored again. See logs.store.erasures.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db import transaction
from django.db.models import Count, Q, QuerySet, Sum, Value
from django.db.models.functions import StrIndex
from django.db.models.lookups import GreaterThan

from logs.models import ACTION_COUNT, AccessKind, Action, IdempotencyKey, Log
from logs.store import access_records, deletion, erasures


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
    def order(self) -> str:
        """The column of actions along whose index they are found."""
        return "log_id" if self.users else "time"

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
        if selection.before is not None:
            yield from deletion.delete_whole_logs(selection.before)
        yield from deletion.delete_actions(selection.actions(), selection.order)
    for user_id in selection.users:
        own = replace(selection, users=[user_id])
        if own.is_erasure:
            yield from _erase(own, by)
            continue
        yield from deletion.delete_actions(own.actions(), own.order)
        if own.before is None:
            deletion.delete_logs_without_actions(own.logs())


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
    note = partial(erasures.add, erasure)
    for count in deletion.delete_actions(selection.actions(), selection.order, note):
        deleted += count
        yield count
    deletion.delete_logs_without_actions(selection.logs(), note)
    with transaction.atomic(durable=True):
        access_records.note(AccessKind.ERASE, by, "one user", count=deleted)
        erasures.finish(erasure)


def _entries_about(rows: QuerySet[Log] | QuerySet[Action]) -> QuerySet[LogEntry]:
    entries = LogEntry.objects.filter(content_type=ContentType.objects.get_for_model(rows.model))
    texts = [object_id or "" for object_id in entries.values_list("object_id", flat=True)]
    ids = rows.filter(id__in=[int(text) for text in texts if text.isdecimal()]).values_list("id", flat=True)
    return entries.filter(object_id__in=[str(row_id) for row_id in ids])
