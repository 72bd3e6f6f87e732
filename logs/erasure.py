"""Deleting a log, or all that is stored of a user, for the admin; what purging does, told in figures."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Count, F, Sum

from logs.purging import Selection, purge


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
