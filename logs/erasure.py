"""Deleting a log, or all that is stored of a user, in transactions short enough that nobody waits for them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from django.db import connection, transaction
from django.db.models import F, QuerySet

from logs import tallies
from logs.models import Action, ActionType, Log

ACTIONS_AT_ONCE = 5_000


@dataclass(frozen=True)
class Erased:
    """How much was deleted, or would be."""

    logs: int = 0
    actions: int = 0

    def __add__(self, other: Erased) -> Erased:
        return Erased(self.logs + other.logs, self.actions + other.actions)


def what_is_stored_of(user_id: str) -> Erased:
    """What erase_user would delete."""
    return sum((Erased(1, count) for _, count in _logs_of(user_id)), Erased())


def erase_user(user_id: str) -> Erased:
    """Delete every log of a user with its actions, and the tallies of their days; return how much that was.

    Logs that come while it runs are left. May be run again where it broke off.
    """
    return sum((_delete_logs(user_id, ids) for ids in _in_batches(_logs_of(user_id))), Erased())


def delete_log(user_id: str, log_id: int) -> Erased:
    """Delete a log with its actions and the tallies of their days; return how much that was."""
    return _delete_logs(user_id, [log_id])


def _logs_of(user_id: str) -> QuerySet[Log, tuple[int, int]]:
    count = F("click_count") + F("view_count") + F("navigate_count")
    return Log.objects.filter(user_id=user_id).order_by("session_id").values_list("id", count)


def _in_batches(logs: Iterable[tuple[int, int]]) -> Iterator[list[int]]:
    """Yield runs of the ids of logs that have up to ACTIONS_AT_ONCE actions together, or are a longer one alone."""
    batch: list[int] = []
    size = 0
    for log_id, count in list(logs):
        if batch and size + count > ACTIONS_AT_ONCE:
            yield batch
            batch, size = [], 0
        batch.append(log_id)
        size += count
    if batch:
        yield batch


def _delete_logs(user_id: str, log_ids: Sequence[int]) -> Erased:
    """Delete logs that are a batch.

    One that is read meanwhile may have lost some of its actions, and says so: its figures and version are kept true.
    """
    erased = Erased()
    while True:
        some, is_last = _delete_some(user_id, log_ids)
        erased += some
        if is_last:
            return erased


def _delete_some(user_id: str, log_ids: Sequence[int]) -> tuple[Erased, bool]:
    """Delete the next ACTIONS_AT_ONCE actions of logs, and the logs once they have none; tell whether that was all."""
    logs = Log.objects.filter(user_id=user_id, id__in=log_ids)
    with transaction.atomic():
        # Appends to these logs wait for these rows, which they lock in the same order.
        locked = list(logs.select_for_update().order_by("session_id"))
        actions = Action.objects.filter(user_id=user_id, log_id__in=[log.id for log in locked])
        rows = list(actions.in_log_order().values_list("id", "time", "log_id", "type")[: ACTIONS_AT_ONCE + 1])
        gone, rest = rows[:ACTIONS_AT_ONCE], rows[ACTIONS_AT_ONCE:]
        tallies.forget(moment.date() for _, moment, _, _ in gone)
        # Not delete(): it would load what it deletes.
        actions.filter(id__in=[action_id for action_id, _, _, _ in gone])._raw_delete(connection.alias)
        emptied = [log.id for log in locked if not rest or log.id < rest[0][2]]
        logs.filter(id__in=emptied)._raw_delete(connection.alias)
        for _, first_time, log_id, _ in rest:
            types = Counter(action_type for _, _, owner, action_type in gone if owner == log_id)
            logs.filter(id=log_id).update(
                version=F("version") + 1,
                first_time=first_time,
                click_count=F("click_count") - types[ActionType.CLICK],
                view_count=F("view_count") - types[ActionType.VIEW],
                navigate_count=F("navigate_count") - types[ActionType.NAVIGATE],
            )
    return Erased(len(emptied), len(gone)), not rest
