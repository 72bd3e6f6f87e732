"""What the store holds, told in a second: exact where that is cheap, otherwise an estimate that says so.

Everything is read from the figures that each log keeps of its actions, so that ten million actions are some hundred
thousand rows to look at. Past MAX_EXACT_LOGS a random sample of the logs stands for all of them; the number of logs is
then what PostgreSQL's planner believes it to be.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.db import connection
from django.db.models import F, Field, Func, Max, Min, QuerySet, Sum
from django.db.models.expressions import RawSQL

from logs.lib.database import given, with_given
from logs.lib.transactions import snapshot
from logs.models import Action, ActionType, Log

MAX_EXACT_LOGS = 1_000_000
# Actions of logs that last over midnight, which have to be looked at one by one to say on which day they were.
MAX_EXACT_ACTIONS = 500_000
_SAMPLED_IDS = 50_000

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
    """by_day: of the days of UTC, newest first. size: bytes on disk of logs and actions with their indexes, on SQLite
    of the whole database.
    """

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
    """The day of an instant in UTC. Django's own is a callback into Python on SQLite."""

    # What the database makes of it: a date, on SQLite its text.
    output_field = Field()

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return self.as_sql(compiler, connection, template="(%(expressions)s AT TIME ZONE 'UTC')::date", **context)

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return self.as_sql(compiler, connection, template="substr(%(expressions)s, 1, 10)", **context)


def collect(days: int, top: int) -> Statistics:
    """Return the statistics with the last `days` days that have actions and the `top` busiest users."""
    with snapshot():
        return _Collector().collect(days, top)


class _Collector:
    def __init__(self) -> None:
        self.logs = count_of_logs()
        self.sample = Log.objects.all()
        self.is_sampled = self.logs.value > MAX_EXACT_LOGS
        self.scale = 1.0
        if self.is_sampled:
            self.sample = _random_logs()
            self.scale = self.logs.value / max(self.sample.count(), 1)

    def collect(self, days: int, top: int) -> Statistics:
        sums = self.sample.aggregate(**{name: Sum(f"{name.lower()}_count") for name in ActionType.values})
        span = Action.objects.aggregate(first=Min("time"), last=Max("time"))
        busiest = self.sample.values("user_id").annotate(actions=Sum(_ACTIONS)).order_by("-actions", "user_id")[:top]
        return Statistics(
            logs=self.logs,
            users=_count_of_users(self.logs) if self.is_sampled else Figure(_distinct_users()),
            actions=self._figure(sum(value or 0 for value in sums.values())),
            by_type={name: self._figure(sums[name] or 0) for name in ActionType.values},
            by_day=self._by_day(days, span["last"]) if span["last"] else {},
            busiest_users={row["user_id"]: self._figure(row["actions"]) for row in busiest},
            first_time=span["first"],
            last_time=span["last"],
            size=_size_on_disk(),
        )

    def _figure(self, value: float, is_estimate: bool = False) -> Figure:
        return Figure(round(value * self.scale), self.is_sampled or is_estimate)

    def _by_day(self, days: int, last: datetime) -> dict[date, Figure]:
        start = max(last.astimezone(UTC).date().toordinal() - days + 1, 1)
        since = datetime.combine(date.fromordinal(start), datetime.min.time(), UTC)
        logs = self.sample.filter(last_time__gte=since).annotate(
            first_day=UTCDay("first_time"), last_day=UTCDay("last_time")
        )
        counts: Counter[date] = Counter()
        over_midnight: list[tuple[date, date, int]] = []
        for first, final, count in logs.values_list("first_day", "last_day").annotate(actions=Sum(_ACTIONS)):
            if first == final:
                counts[_date(first)] += count
            else:
                over_midnight.append((_date(first), _date(final), count))
        is_estimate = self.is_sampled or sum(count for *_, count in over_midnight) > MAX_EXACT_ACTIONS
        if is_estimate:
            _spread(counts, over_midnight)
        elif over_midnight:
            counts.update(_count_days_of(logs.exclude(first_day=F("last_day"))))
        return {
            day: self._figure(counts[day], is_estimate)
            for day in sorted(counts, reverse=True)
            if day.toordinal() >= start
        }


def count_of_logs() -> Figure:
    if connection.vendor == "postgresql":
        believed = _planner_rows()
        if believed > MAX_EXACT_LOGS:
            return Figure(believed, is_estimate=True)
    return Figure(Log.objects.count())


def _count_of_users(logs: Figure) -> Figure:
    if connection.vendor != "postgresql":
        return Figure(_distinct_users())
    with connection.cursor() as cursor:
        # https://www.postgresql.org/docs/current/view-pg-stats.html: below 0 it is a share of the rows.
        cursor.execute(
            "SELECT n_distinct FROM pg_stats WHERE schemaname = current_schema()"
            " AND tablename = %s AND attname = 'user_id'",
            [Log._meta.db_table],
        )
        row = cursor.fetchone()
    if row is None:
        return Figure(_distinct_users())
    return Figure(round(row[0] if row[0] >= 0 else -row[0] * logs.value), is_estimate=True)


def _distinct_users() -> int:
    return Log.objects.order_by().values("user_id").distinct().count()


def _planner_rows() -> int:
    with connection.cursor() as cursor:
        # https://www.postgresql.org/docs/current/catalog-pg-class.html: -1 before the first ANALYZE.
        cursor.execute("SELECT reltuples::bigint FROM pg_class WHERE oid = %s::regclass", [Log._meta.db_table])
        return cursor.fetchone()[0]


def _random_logs() -> QuerySet[Log]:
    """Return logs of random ids: each log is as likely to be among them as any other."""
    ids = Log.objects.aggregate(first=Min("id"), last=Max("id"))
    # At random, not secret. Ids that are not there any more choose nothing.
    chosen = [{"id": random.randint(ids["first"], ids["last"])} for _ in range(_SAMPLED_IDS)]  # noqa: S311
    return Log.objects.filter(id__in=RawSQL(with_given("SELECT id FROM {given}"), [given(chosen)]))  # noqa: S611


def _count_days_of(logs: QuerySet[Log]) -> dict[date, int]:
    """Return how many actions of some logs, few enough to look at, each day has."""
    rows = [{"user_id": user_id, "id": log_id} for user_id, log_id in logs.values_list("user_id", "id")]
    day = "(time AT TIME ZONE 'UTC')::date" if connection.vendor == "postgresql" else "substr(time, 1, 10)"
    with connection.cursor() as cursor:
        cursor.execute(with_given(_COUNT_DAYS.replace("DAY", day)), [given(rows)])
        return {_date(value): count for value, count in cursor.fetchall()}


_COUNT_DAYS = """
    SELECT DAY, count(*) FROM {given}
    JOIN logs_action ON (logs_action.user_id, logs_action.log_id) = (given.user_id, given.id) GROUP BY 1
"""


def _spread(counts: Counter[date], over_midnight: Iterable[tuple[date, date, int]]) -> None:
    """Add actions to the days from the first to the last of their logs, evenly."""
    for first, last, count in over_midnight:
        days = (last - first).days + 1
        for number in range(days):
            counts[first + timedelta(number)] += count / days


def _date(value: date | str) -> date:
    return value if isinstance(value, date) else date.fromisoformat(value)


def _size_on_disk() -> int:
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(
                "SELECT sum(pg_total_relation_size(name::regclass))::bigint FROM unnest(%s) AS name",
                [[Log._meta.db_table, Action._meta.db_table]],
            )
        else:
            cursor.execute("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size")
        return cursor.fetchone()[0]
