"""What the store holds, told in a second: exact where that is cheap, otherwise an estimate that says so.

Everything is read from the figures that each log keeps of its actions, so that ten million actions are some hundred
thousand rows to look at. Past MAX_EXACT_LOGS a random sample of the logs stands for all of them; the number of logs is
then what PostgreSQL's planner believes it to be.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models import Count, F, Func, Max, Min, Q, QuerySet, Sum
from django.db.models.fields import TextField

from logs.models import Action, ActionType, Log
from logs.snapshot import snapshot

MAX_EXACT_LOGS = 1_000_000
# Actions of logs that last over midnight, which have to be looked at one by one to say on which day they were.
MAX_EXACT_ACTIONS = 500_000
_SAMPLED_LOGS = 200_000

_ACTIONS = F("click_count") + F("view_count") + F("navigate_count")


@dataclass(frozen=True)
class Figure:
    """A count, and whether it is an estimate."""

    value: int
    is_estimate: bool = False

    def __str__(self) -> str:
        return f"{'about ' if self.is_estimate else ''}{self.value:,}"


@dataclass(frozen=True)
class Statistics:
    """by_day: of the days of UTC, newest first. size: bytes on disk of logs and actions with their indexes."""

    logs: Figure
    users: Figure
    actions: Figure
    by_type: dict[str, Figure]
    by_day: dict[date, Figure]
    busiest_users: dict[str, Figure]
    first_time: datetime | None
    last_time: datetime | None
    size: int


class UTCDay(Func):
    """The day of an instant in UTC as YYYY-MM-DD. Django's own is a callback into Python on SQLite."""

    output_field = TextField()

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return self.as_sql(
            compiler, connection, template="to_char(%(expressions)s AT TIME ZONE 'UTC', 'YYYY-MM-DD')", **context
        )

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return self.as_sql(compiler, connection, template="substr(%(expressions)s, 1, 10)", **context)


def collect(days: int, top: int) -> Statistics:
    """Return the statistics with the last `days` days that have actions and the `top` busiest users."""
    with snapshot():
        return _Collector().collect(days, top)


class _Collector:
    def __init__(self) -> None:
        self.logs = _count_of_logs()
        self.sample: QuerySet[Log] = Log.objects.all()
        self.scale = 1.0
        if self.logs.is_estimate:
            self.sample, self.scale = _sample(self.logs.value)

    def collect(self, days: int, top: int) -> Statistics:
        sums = self.sample.aggregate(**{name: Sum(f"{name.lower()}_count") for name in ActionType.values})
        by_type = {name: self._figure(sums[name] or 0) for name in ActionType.values}
        actions = self._figure(sum(value or 0 for value in sums.values()))
        span = Action.objects.aggregate(first=Min("time"), last=Max("time"))
        busiest = self.sample.values("user_id").annotate(actions=Sum(_ACTIONS)).order_by("-actions", "user_id")[:top]
        return Statistics(
            logs=self.logs,
            users=self._users(),
            actions=actions,
            by_type=by_type,
            by_day=self._by_day(days, span["last"]),
            busiest_users={row["user_id"]: self._figure(row["actions"]) for row in busiest},
            first_time=span["first"],
            last_time=span["last"],
            size=_size_on_disk(),
        )

    def _figure(self, value: float, is_estimate: bool = False) -> Figure:
        return Figure(round(value * self.scale), is_estimate or self.logs.is_estimate)
