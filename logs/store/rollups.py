"""Rollups by day (UTC), and how they are kept true.

A day is rolled up once, after it is over. A writer that adds actions to a past day marks it as stale, and a stale day
is rolled up again when it is next needed. So live writes, which are of today, cost nothing, and no rollup is older than
its actions.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from django.db import connection, transaction
from django.db.models import QuerySet
from django.utils import timezone

from logs.models import RolledUpDay, Rollup, RollupKind, StaleDay
from logs.store import counts
from logs.store.click_pages import LOOK_BACK
from logs.store.days import Days, last_day_over, start_of

# Of what is later no calendar has the day that looks back at it.
_LAST_LOOKED_BACK_AT = datetime.max.replace(tzinfo=UTC) - LOOK_BACK


@dataclass(frozen=True)
class RollupProgress:
    """How many days of a range are rolled up, of how many."""

    done: int
    total: int


def days_made_stale(times: Iterable[datetime]) -> list[date]:
    """Return the past days (UTC) that added actions make stale: to be marked in the transaction that adds them.

    times: aware datetimes of the actions, in any order.
    """
    today = timezone.now().date()
    midnight = start_of(today)
    # Nearly every action is of today, and then changes no day that is over.
    past = [moment for moment in times if moment < midnight]
    return sorted(day for day in _days_changed_by(past) if day < today) if past else []


def forget(times: Iterable[datetime]) -> None:
    """Delete the rollups that hold actions, or users' ids, in the transaction that deletes those actions.

    Waits for whoever rolls up one of those days: what that has read already would be kept. So call it before anything
    else in the transaction is locked.

    times: aware datetimes of the actions, in any order.
    """
    _forget_days(sorted(_days_changed_by(times)))


def forget_day(day: date) -> None:
    """Delete the rollups of a day, which is rolled up again when it is next needed."""
    with transaction.atomic():
        _forget_days([day])


def prepare(days: Days, seconds: float | None = None) -> RollupProgress:
    """Roll up the days that are over and missing or stale, newest first, each in a transaction of its own.

    seconds: begin no further day after about so long; None is no limit.
    """
    over, _ = days.split()
    due = due_days(days)
    deadline = None if seconds is None else time.monotonic() + seconds
    for index, day in enumerate(due):
        if deadline is not None and index and time.monotonic() > deadline:
            return RollupProgress(len(over) - len(due) + index, len(over))
        roll_up(day)
    return RollupProgress(len(over), len(over))


def due_days(days: Days) -> list[date]:
    """Return the days that are over and not rolled up, or stale; newest first."""
    over, _ = days.split()
    in_range = {"day__gte": over.first, "day__lte": over.last}
    ready = set(RolledUpDay.objects.filter(**in_range).values_list("day", flat=True))
    ready -= set(StaleDay.objects.filter(**in_range).values_list("day", flat=True).distinct())
    every = [over.last - timedelta(days=back) for back in range(len(over))]
    return [day for day in every if day not in ready]


def stale_days() -> list[date]:
    """Return every day that is marked as stale and over, however old; newest first."""
    marked = StaleDay.objects.filter(day__lte=last_day_over())
    return list(marked.values_list("day", flat=True).distinct().order_by("-day"))


def roll_up(day: date) -> None:
    """Make the rollups of a day that is over, unless they are there and not stale.

    Of two that roll up the same day one waits for the other, and then finds nothing to do.
    """
    with transaction.atomic():
        _lock([day])
        was_stale, _ = StaleDay.objects.filter(day=day).delete()
        with connection.cursor() as cursor:
            cursor.execute("INSERT INTO logs_rolledupday (day) VALUES (%s) ON CONFLICT DO NOTHING", [day])
            is_new = bool(cursor.rowcount)
        if is_new or was_stale:
            _rollups_of([day]).delete()
            counts.write_rollups(day)


def refresh(day: date) -> None:
    """Delete the marks of a stale day, and roll it up again if it ever was; otherwise there is nothing to bring up."""
    with transaction.atomic():
        _lock([day])
        if RolledUpDay.objects.filter(day=day).exists():
            roll_up(day)
        else:
            StaleDay.objects.filter(day=day).delete()


def _days_changed_by(times: Iterable[datetime]) -> set[date]:
    """Return the days whose rollups depend on actions at some times (UTC).

    An action late in the evening may be the navigation that the next day's first clicks infer their page from.
    """
    moments = list(times)
    first, last = (pick(moments).astimezone(UTC) for pick in (min, max))
    if last <= _LAST_LOOKED_BACK_AT and first.date() == last.date() == (last + LOOK_BACK).date():
        # Nearly every batch is of one day.
        return {first.date()}
    days = set()
    for moment in moments:
        days.add(moment.astimezone(UTC).date())
        if moment <= _LAST_LOOKED_BACK_AT:
            days.add((moment + LOOK_BACK).astimezone(UTC).date())
    return days


def _forget_days(days: Sequence[date]) -> None:
    _lock(days)
    RolledUpDay.objects.filter(day__in=days).delete()
    _rollups_of(days).delete()


def _rollups_of(days: Sequence[date]) -> QuerySet[Rollup]:
    return Rollup.objects.filter(kind__in=RollupKind.values, day__in=days)


def _lock(days: Sequence[date]) -> None:
    """Keep others from making or deleting the rollups of some days, given in order, until the transaction ends.

    SQLite's transaction has locked everything already.
    """
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_advisory_xact_lock(hashtext('logs_rollup'), number) FROM unnest(%s) AS number",
                [[day.toordinal() for day in days]],
            )
