"""Counts of what happened on each day (UTC), which Insights reads instead of millions of actions.

A day is counted once, after it is over; one that changes later is marked by whoever changes it and counted anew when it
is next asked for. So live writes, which are of today, cost nothing, and no count is older than its actions.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from django.db import connection, transaction
from django.utils import timezone

from logs.models import ActionType, RolledUpDay, Rollup, RollupKind, StaleDay

# The longest range that may be asked for at once, in days.
MAX_DAYS = 92
# Clicks are counted in squares of so many pixels.
CELL_SIZE = 20
# How long before midnight a session's NAVIGATE is looked for, to infer the page of its first clicks of the day.
_LOOK_BACK = timedelta(hours=6)
# A write of a day that is not over leaves no mark: it must be committed when that day is first counted.
_SETTLED_AFTER = timedelta(hours=1)


@dataclass(frozen=True)
class Days:
    """Whole days (UTC) from first to last, both inclusive."""

    first: date
    last: date

    def __len__(self) -> int:
        return max(0, (self.last - self.first).days + 1)

    @property
    def before(self) -> Days:
        """As many days, right before these."""
        length = timedelta(days=len(self))
        return Days(self.first - length, self.last - length)

    @property
    def bounds(self) -> tuple[datetime, datetime]:
        """The first instant of these days, and the first one after them."""
        return start_of(self.first), start_of(self.last + timedelta(days=1))


@dataclass(frozen=True)
class Progress:
    """How many days of a range are counted, of how many."""

    done: int
    total: int


def start_of(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def stale_days(times: Iterable[datetime]) -> list[date]:
    """Return the past days (UTC) whose rollups actions at these times make stale."""
    today = timezone.now().date()
    return sorted({day for day in {time.date() for time in times} if day < today})


def mark_stale(days: Iterable[date]) -> None:
    """Mark days (UTC) as changed, in the transaction that changes their actions."""
    today = timezone.now().date()
    past = [(day,) for day in sorted(days) if day < today]
    if past:
        with connection.cursor() as cursor:
            cursor.executemany("INSERT INTO logs_staleday (day) VALUES (%s)", past)


def forget(days: Iterable[date]) -> None:
    """Delete the rollups of days, which hold ids of users, in the transaction that deletes actions of those days.

    Waits for whoever counts one of those days: what it has read already would be kept. So call it before anything else
    in the transaction is locked.
    """
    ordered = sorted(set(days))
    _lock(ordered)
    StaleDay.objects.bulk_create([StaleDay(day=day) for day in ordered])
    RolledUpDay.objects.filter(day__in=ordered).delete()
    Rollup.objects.filter(kind__in=RollupKind.values, day__in=ordered).delete()


def split(days: Days) -> tuple[Days, Days]:
    """Return the days that are over, whose rollups can be kept, and the rest, which must be counted each time."""
    first_open = (timezone.now() - _SETTLED_AFTER).date()
    over = Days(days.first, min(days.last, first_open - timedelta(days=1)))
    return over, Days(max(days.first, first_open), days.last)


def prepare(days: Days, seconds: float | None = None) -> Progress:
    """Count the days that are over and not counted yet, or changed since, for about so many seconds; None is no limit.

    Newest first, each in a transaction of its own; two that prepare the same day wait for each other and count once.
    """
    over, _ = split(days)
    in_range = {"day__gte": over.first, "day__lte": over.last}
    counted = set(RolledUpDay.objects.filter(**in_range).values_list("day", flat=True))
    counted -= set(StaleDay.objects.filter(**in_range).values_list("day", flat=True).distinct())
    every = [over.last - timedelta(days=back) for back in range(len(over))]
    missing = [day for day in every if day not in counted]
    deadline = None if seconds is None else time.monotonic() + seconds
    for index, day in enumerate(missing):
        if deadline is not None and index and time.monotonic() > deadline:
            return Progress(len(every) - len(missing) + index, len(every))
        _count_day(day)
    return Progress(len(every), len(every))


def counts(
    kind: RollupKind,
    days: Days,
    columns: Sequence[str],
    *,
    user_id: str | None = None,
    conditions: str = "",
    values: Sequence[object] = (),
    ending: str = "",
    figure: str = "SUM(count)",
) -> list[tuple]:
    """Return rows of the columns and a figure over each, over prepared days.

    columns: of day, label, other, x and y. user_id: that user's actions alone, read without rollups.
    conditions, ending, figure: SQL made of constants, over those names and `count`; values: what their %s stand for.
    """
    union, parameters = _rows(kind, days, user_id)
    names = ", ".join(columns)
    where = f"WHERE {conditions}" if conditions else ""
    group = f"GROUP BY {names}" if columns else ""
    comma = ", " if columns else ""
    with _quick_plans(), connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {names}{comma}{figure} FROM ({union}) AS counts {where} {group} {ending}",
            [*parameters, *values],
        )
        return cursor.fetchall()


def clicks(
    days: Days, user_id: str | None, page: str | None, max_pages: int, max_cells: int
) -> tuple[dict[str, int], dict[tuple[int, int], int]]:
    """Return the pages with the most clicks, and the cells with the most, of one page or of all: each with its clicks.

    In one statement: to infer the pages of an open day's clicks takes longer than all the rest.
    """
    union, parameters = _rows(RollupKind.CLICKS, days, user_id)
    where = "" if page is None else "WHERE label = %s"
    with _quick_plans(), connection.cursor() as cursor:
        cursor.execute(
            f"""
            WITH counts AS MATERIALIZED (
                SELECT label, x, y, SUM(count) AS count FROM ({union}) AS every GROUP BY 1, 2, 3
            )
            SELECT * FROM (
                SELECT 1 AS is_page, label, 0 AS x, 0 AS y, SUM(count) AS total FROM counts
                GROUP BY label ORDER BY 5 DESC, 2 LIMIT {max_pages:d}
            ) AS pages
            UNION ALL SELECT * FROM (
                SELECT 0 AS is_page, '' AS label, x, y, SUM(count) AS total FROM counts {where}
                GROUP BY x, y ORDER BY 5 DESC, 3, 4 LIMIT {max_cells:d}
            ) AS cells
            """,
            [*parameters, *([] if page is None else [page])],
        )
        rows = cursor.fetchall()
    pages = {label: int(total) for is_page, label, _, _, total in rows if is_page}
    return pages, {(x, y): int(total) for is_page, _, x, y, total in rows if not is_page}


def cell_sql(member: str) -> str:
    """SQL for the square that a click's locationX or locationY is in; NULL for what is no click."""
    text = f"(properties ->> '{member}')"
    if connection.vendor != "postgresql":
        return f"(CASE WHEN type = 'CLICK' THEN CAST(floor({text} / {CELL_SIZE}.0) AS INTEGER) END)"
    # Any number of JSON may stand there: a float8 can't hold 1e-400, nor a numeric 1e-20000.
    return f"""(CASE WHEN type <> 'CLICK' THEN NULL
        WHEN {text} !~ '[eE]' THEN floor(left({text}, 40)::float8 / {CELL_SIZE})
        WHEN {text} ~ '^[^eE]{{1,40}}[eE][+-]?[0-9]{{1,3}}$' THEN floor({text}::numeric / {CELL_SIZE})
        ELSE 0 END)::bigint"""


def _count_day(day: date) -> None:
    with transaction.atomic(), _quick_plans():
        # A second one that counts the same day waits, and then finds nothing to do.
        _lock([day])
        changed, _ = StaleDay.objects.filter(day=day).delete()
        with connection.cursor() as cursor:
            cursor.execute("INSERT INTO logs_rolledupday (day) VALUES (%s) ON CONFLICT DO NOTHING", [day])
            if not cursor.rowcount and not changed:
                return
            Rollup.objects.filter(kind__in=RollupKind.values, day=day).delete()
            for kind in RollupKind:
                sql, parameters = _select(kind, Days(day, day), None)
                cursor.execute(
                    "INSERT INTO logs_rollup (kind, day, label, other, x, y, count)"
                    f" SELECT %s, day, label, other, x, y, count FROM ({sql}) AS counted",
                    [kind.value, *parameters],
                )


def _lock(days: Sequence[date]) -> None:
    """Until the transaction ends, be the only one who makes or deletes the rollups of these days, which are in order.

    SQLite's transaction has locked everything already.
    """
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_advisory_xact_lock(hashtext('logs_rollup'), number) FROM unnest(%s) AS number",
                [[day.toordinal() for day in days]],
            )


@contextmanager
def _quick_plans() -> Iterator[None]:
    """Keep PostgreSQL from compiling a query for longer than it takes to run."""
    if connection.vendor != "postgresql":
        yield
        return
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL jit = off")
        cursor.execute("SET LOCAL work_mem = '64MB'")
        yield


def _rows(kind: RollupKind, days: Days, user_id: str | None) -> tuple[str, list[object]]:
    """SQL for the rollups of the days that are over, and the counts of the rest; of one user, for the counts alone."""
    if user_id is not None:
        return _select(kind, days, user_id)
    over, rest = split(days)
    rolled_up = "SELECT day, label, other, x, y, count FROM logs_rollup WHERE kind = %s AND day BETWEEN %s AND %s"
    parameters: list[object] = [kind.value, over.first, over.last]
    if not len(rest):
        return rolled_up, parameters
    counted, more = _select(kind, rest, None)
    return f"{rolled_up} UNION ALL SELECT * FROM ({counted}) AS counted", parameters + more


def _select(kind: RollupKind, days: Days, user_id: str | None) -> tuple[str, list[object]]:
    start, end = days.bounds
    adapt = connection.ops.adapt_datetimefield_value
    fragments = _POSTGRESQL if connection.vendor == "postgresql" else _SQLITE
    owner = "AND user_id = %s" if user_id is not None else ""
    names = {**fragments, "owner": owner, "x": cell_sql("locationX"), "y": cell_sql("locationY")}
    user = [] if user_id is None else [user_id]
    if kind is RollupKind.CLICKS:
        return _CLICKS.format(**names), [adapt(start - _LOOK_BACK), adapt(end), *user, adapt(start)]
    return _SELECTS[kind].format(**names), [adapt(start), adapt(end), *user]


# What the two databases spell differently; SQLite keeps a time as text in UTC.
_POSTGRESQL = {
    "day": "(time AT TIME ZONE 'UTC')::date",
    "hour": "extract(hour FROM time AT TIME ZONE 'UTC')::bigint",
    "zero": "0::bigint",
    "none": "''::text",
}
_SQLITE = {
    "day": "substr(time, 1, 10)",
    "hour": "CAST(substr(time, 12, 2) AS INTEGER)",
    "zero": "0",
    "none": "''",
}

_FROM = "FROM logs_action WHERE time >= %s AND time < %s {owner}"
_SELECTS = {
    # label: the type; x: the hour.
    RollupKind.ACTIVITY: "SELECT {day} AS day, type AS label, {none} AS other, {hour} AS x, {zero} AS y,"
    f" COUNT(*) AS count {_FROM} GROUP BY 1, 2, 4",
    # label: the id that was viewed.
    RollupKind.VIEWS: "SELECT {day} AS day, properties ->> 'viewedId' AS label, {none} AS other, {zero} AS x,"
    f" {{zero}} AS y, COUNT(*) AS count {_FROM} AND type = '{ActionType.VIEW.value}' GROUP BY 1, 2",
    # label: the page left; other: the page reached.
    RollupKind.FLOW: "SELECT {day} AS day, properties ->> 'pageFrom' AS label, properties ->> 'pageTo' AS other,"
    f" {{zero}} AS x, {{zero}} AS y, COUNT(*) AS count"
    f" {_FROM} AND type = '{ActionType.NAVIGATE.value}' GROUP BY 1, 2, 3",
    # label: the user; other: the type.
    RollupKind.USERS: "SELECT {day} AS day, user_id AS label, type AS other, {zero} AS x, {zero} AS y,"
    f" COUNT(*) AS count {_FROM} GROUP BY 1, 2, 3",
}
# label: the page reached by the session's last NAVIGATE before the click, "" where there is none; x, y: the cell.
_CLICKS = f"""
    SELECT {{day}} AS day, COALESCE(page, '') AS label, {{none}} AS other, {{x}} AS x, {{y}} AS y, COUNT(*) AS count
    FROM (
        SELECT time, type, properties, MAX(arrived_at) OVER (PARTITION BY log_id, visit) AS page
        FROM (
            SELECT log_id, time, type, properties,
                CASE WHEN type = '{ActionType.NAVIGATE.value}' THEN properties ->> 'pageTo' END AS arrived_at,
                COUNT(CASE WHEN type = '{ActionType.NAVIGATE.value}' THEN 1 END)
                    OVER (PARTITION BY log_id ORDER BY time, id) AS visit
            {_FROM} AND type <> '{ActionType.VIEW.value}'
        ) AS visits
    ) AS clicks
    WHERE type = '{ActionType.CLICK.value}' AND time >= %s
    GROUP BY 1, 2, 4, 5
"""
