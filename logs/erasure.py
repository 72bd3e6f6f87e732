"""Deleting a log, or all that is stored of a user, in transactions short enough that nobody waits for them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from django.db import transaction
from django.db.models import F, Sum

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
    logs = Log.objects.filter(user_id=user_id)
    actions = logs.aggregate(sum=Sum(F("click_count") + F("view_count") + F("navigate_count")))["sum"]
    return Erased(logs.count(), actions or 0)


def erase_user(user_id: str) -> Erased:
    """Delete every log of a user with its actions, and the tallies that name the user; return how much that was.

    Logs that come while it runs are left. May be run again where it broke off.
    """
    ids = list(Log.objects.filter(user_id=user_id).order_by("id").values_list("id", flat=True))
    return sum((delete_log(user_id, log_id) for log_id in ids), Erased())


def delete_log(user_id: str, log_id: int) -> Erased:
    """Delete a log with its actions and the tallies of their days; return how much that was.

    A log that is read meanwhile has lost its oldest actions, and says so: its figures and version are kept true.
    """
    erased = Erased()
    while (deleted := _delete_oldest_actions(user_id, log_id)) is not None:
        erased += deleted
        if deleted.logs:
            break
    return erased


def _delete_oldest_actions(user_id: str, log_id: int) -> Erased | None:
    """Delete up to ACTIONS_AT_ONCE actions, with the last one the log; None where there is no such log."""
    with transaction.atomic():
        # An append to the same log waits for this row.
        log = Log.objects.select_for_update().filter(user_id=user_id, id=log_id).first()
        if log is None:
            return None
        ordered = Action.objects.filter(user_id=user_id, log_id=log_id).order_by("time", "id")
        rows = list(ordered.values_list("id", "time", "type")[: ACTIONS_AT_ONCE + 1])
        oldest, rest = rows[:ACTIONS_AT_ONCE], rows[ACTIONS_AT_ONCE:]
        tallies.forget(moment.date() for _, moment, _ in oldest)
        # Not delete(): it would load what it deletes.
        gone = ordered.filter(id__in=[action_id for action_id, _, _ in oldest])
        gone.order_by()._raw_delete(gone.db)
        if rest:
            types = Counter(action_type for _, _, action_type in oldest)
            Log.objects.filter(user_id=user_id, id=log_id).update(
                version=F("version") + 1,
                first_time=rest[0][1],
                click_count=F("click_count") - types[ActionType.CLICK],
                view_count=F("view_count") - types[ActionType.VIEW],
                navigate_count=F("navigate_count") - types[ActionType.NAVIGATE],
            )
        else:
            logs = Log.objects.filter(user_id=user_id, id=log_id)
            logs._raw_delete(logs.db)
        return Erased(int(not rest), len(oldest))
