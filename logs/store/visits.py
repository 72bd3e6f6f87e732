"""Visits in a range of days (UTC), as typed rows: sessions, the users of each day and how many of them are new, weekly
retention, and the pages on which visits begin and end.

A session is a log; sessions and first visits are read from the logs, whose times and counts every append keeps true.
Users are read from the rollups, as in logs.store.counts: the days that are over must have been prepared.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from itertools import pairwise
from typing import Any, NamedTuple

from django.db import connection

from logs.lib.database import day_of, microseconds_between
from logs.models import ActionType, RollupKind
from logs.store.counts import Types, as_date, bounds_of, owner_of, quick_plans, rows_of
from logs.store.days import Days
from logs.store.rows import NameRow

# The upper bounds of the buckets, each inclusive; what is more is in one bucket more.
LENGTH_BOUNDS = (0, 10, 30, 60, 3 * 60, 10 * 60, 30 * 60, 60 * 60)  # in seconds
ACTION_BOUNDS = (1, 2, 5, 10, 20, 50, 100)


class Bucket(NamedTuple):
    """How many sessions have a value of more than `above` and at most `up_to`; None is no bound."""

    above: int | None
    up_to: int | None
    total: int


class Sessions(NamedTuple):
    """How many sessions there were, how long they were, and how many actions they had.

    median_length, p90_length: percentiles by nearest rank, in seconds; like median_actions None without any session.
    single_page: how many have no navigation; single_action: how many have one action.
    lengths, actions: the distributions of the length in seconds and of the number of actions, in order.
    """

    total: int
    median_length: float | None
    p90_length: float | None
    mean_actions: float
    median_actions: int | None
    single_page: int
    single_action: int
    lengths: list[Bucket]
    actions: list[Bucket]


class SessionDayRow(NamedTuple):
    """How many sessions began on a day."""

    day: date
    total: int


class UserCount(NamedTuple):
    """How many users were active, and how many of these were there for the first time ever."""

    users: int
    new: int


class UserDayRow(NamedTuple):
    """How many users were active on a day, and how many of these were there for the first time ever."""

    day: date
    users: int
    new: int


class RetentionRow(NamedTuple):
    """How many users of a cohort were active so many weeks after the one in which they were there for the first time.

    cohort: the first day of that week; size: how many users the cohort has.
    """

    cohort: date
    size: int
    weeks_later: int
    users: int


class Ends(NamedTuple):
    """The most frequent entry pages and exit pages, most first."""

    entries: list[NameRow]
    exits: list[NameRow]


def sessions(days: Days, user_id: str | None) -> Sessions:
    """Measure the sessions that begin in some days, with all of their actions.

    user_id: of this user alone; None is everybody.
    """
    where, parameters = _begun_in(days, user_id)
    length = microseconds_between("first_time", "last_time")
    actions = " + ".join(action_type.counter for action_type in ActionType)
    up_to = [f"length <= {bound * 1_000_000}" for bound in LENGTH_BOUNDS]
    up_to += [f"actions <= {bound}" for bound in ACTION_BOUNDS]
    with quick_plans() as cursor:
        cursor.execute(
            f"""
            WITH sessions AS MATERIALIZED (
                SELECT {length} AS length, {actions} AS actions, navigate_count FROM logs_log {where}
            )
            SELECT COUNT(*), COALESCE(SUM(actions), 0),
                {_percentile("length", 0.5)}, {_percentile("length", 0.9)}, {_percentile("actions", 0.5)},
                COUNT(*) FILTER (WHERE navigate_count = 0), COUNT(*) FILTER (WHERE actions = 1),
                {", ".join(f"COUNT(*) FILTER (WHERE {condition})" for condition in up_to)}
            FROM sessions
            """,
            parameters,
        )
        total, action_count, median_length, p90_length, median_actions, single_page, single_action, *at_most = (
            cursor.fetchone()
        )
    return Sessions(
        total=total,
        median_length=None if median_length is None else median_length / 1_000_000,
        p90_length=None if p90_length is None else p90_length / 1_000_000,
        mean_actions=int(action_count) / max(total, 1),
        median_actions=median_actions,
        single_page=single_page,
        single_action=single_action,
        lengths=_buckets(LENGTH_BOUNDS, at_most[: len(LENGTH_BOUNDS)], total),
        actions=_buckets(ACTION_BOUNDS, at_most[len(LENGTH_BOUNDS) :], total),
    )


def sessions_by_day(days: Days, user_id: str | None) -> list[SessionDayRow]:
    """Count the sessions that begin on each day; days without any have no row. The arguments are those of sessions."""
    where, parameters = _begun_in(days, user_id)
    with quick_plans() as cursor:
        cursor.execute(
            f"SELECT {day_of('first_time')} AS day, COUNT(*) FROM logs_log {where} GROUP BY 1 ORDER BY 1", parameters
        )
        return [SessionDayRow(as_date(day), total) for day, total in cursor.fetchall()]


def users(days: Days, types: Sequence[str], user_id: str | None) -> UserCount:
    """Count the users with an action of one of the types; new are those whose first action ever is in these days.

    types: the types to count, at least one; a first action may be of any type.
    user_id: look at this user alone; None is everybody.
    """
    visits, parameters = _visits("0", days, types, user_id)
    with quick_plans() as cursor:
        cursor.execute(
            f"SELECT COALESCE(SUM(active), 0), COALESCE(SUM(active * new), 0) FROM ({visits}) AS visits", parameters
        )
        return UserCount(*map(int, cursor.fetchone()))


def users_by_day(days: Days, types: Sequence[str], user_id: str | None) -> list[UserDayRow]:
    """Count the users of each day; new are those whose first action ever is on that day.

    Days without any user have no row. The arguments are those of users.
    """
    visits, parameters = _visits("day", days, types, user_id)
    with quick_plans() as cursor:
        cursor.execute(
            f"""
            SELECT period, SUM(active), SUM(active * new) FROM ({visits}) AS visits
            GROUP BY period HAVING SUM(active) > 0 ORDER BY period
            """,
            parameters,
        )
        return [UserDayRow(as_date(day), int(active), int(new)) for day, active, new in cursor.fetchall()]


def retention(days: Days, types: Sequence[str]) -> list[RetentionRow]:
    """Count the users of each weekly cohort that are active again, so many weeks later.

    A cohort is of those whose first action ever, of any type, is in the same week. Weeks are of seven days from the
    first of these days on; the last one may be shorter. Each cohort has a row of its first week, even if nobody is
    active; of later weeks only those that have somebody.

    types: an action of one of these is what counts as being active, at least one.
    """
    visits, parameters = _visits(_week_since(days.first), days, types, None)
    with quick_plans() as cursor:
        cursor.execute(
            f"""
            SELECT cohort, SUM(SUM(new)) OVER (PARTITION BY cohort), period - cohort, SUM(active)
            FROM (
                SELECT period, active, new,
                    MAX(CASE WHEN new = 1 THEN period END) OVER (PARTITION BY user_id) AS cohort
                FROM ({visits}) AS visits
            ) AS visits_of_cohorts
            WHERE cohort IS NOT NULL GROUP BY cohort, period - cohort ORDER BY 1, 3
            """,
            parameters,
        )
        return [
            RetentionRow(days.first + timedelta(weeks=cohort), int(size), weeks_later, int(active))
            for cohort, size, weeks_later, active in cursor.fetchall()
        ]


def ends(days: Days, user_id: str | None, limit: int) -> Ends:
    """Return the pages on which sessions most often begin and end.

    A session that goes on past midnight enters and leaves each day anew, so that what is counted for a day never
    depends on another one. It enters a day on the page that its first NAVIGATE of the day left, and leaves it on the
    one that the last went to.

    user_id: of this user alone; None is everybody.
    limit: at most so many entry pages, and as many exit pages.
    """
    rows, parameters = _entries_and_exits(days, user_id)
    with quick_plans() as cursor:
        cursor.execute(
            f"""
            SELECT kind, label, total FROM (
                SELECT kind, label, SUM(count) AS total,
                    ROW_NUMBER() OVER (PARTITION BY kind ORDER BY SUM(count) DESC, label) AS place
                FROM ({rows}) AS counts GROUP BY kind, label
            ) AS ranked
            WHERE place <= {limit:d} ORDER BY kind, place
            """,
            parameters,
        )
        found = cursor.fetchall()
    entries, exits = (
        [NameRow(page, int(total)) for kind, page, total in found if kind == end] for end in (_ENTRY, _EXIT)
    )
    return Ends(entries, exits)


_ENTRY, _EXIT = "ENTRY", "EXIT"


def _visits(period: str, days: Days, types: Sequence[str], user_id: str | None) -> tuple[str, list[Any]]:
    """Return SQL for who visited when: period, user_id, active and new, each 0 or 1.

    Not a join of the active users and the new ones: where the tables have no statistics yet, PostgreSQL expects a row
    of each and compares each with each, which took 20 seconds instead of a quarter of one.

    period: SQL for what to group by, made of `day`.
    """
    rows, parameters = rows_of(RollupKind.USERS, days, user_id)
    where, names = Types("other", types).where()
    start, end = bounds_of(days)
    owner, user = owner_of(user_id)
    return (
        f"""
        SELECT {period} AS period, user_id, MAX(active) AS active, MAX(new) AS new
        FROM (
            SELECT day, label AS user_id, 1 AS active, 0 AS new FROM ({rows}) AS counts {where}
            UNION ALL SELECT * FROM (
                SELECT {day_of("MIN(first_time)")} AS day, user_id, 0 AS active, 1 AS new
                FROM logs_log WHERE first_time < %s {owner} GROUP BY user_id HAVING MIN(first_time) >= %s
            ) AS first_visits
        ) AS active_and_new
        GROUP BY 1, 2
        """,
        [*parameters, *names, end, *user, start],
    )


def _entries_and_exits(days: Days, user_id: str | None) -> tuple[str, list[Any]]:
    """Return SQL that counts entry and exit pages as rollups: kind, day, label (the page), other, x, y, count."""
    owner, user = owner_of(user_id)
    day = day_of("time")
    counted = "SELECT '{kind}' AS kind, day, {page} AS label, '' AS other, 0 AS x, 0 AS y, SUM(count) AS count"
    counted += " FROM ends WHERE {page} IS NOT NULL GROUP BY day, {page}"
    # To sort by the number first takes a third of the time. The user is there so that each shard can do it by itself.
    return (
        f"""
        WITH ends AS MATERIALIZED (
            SELECT day, entry_page, exit_page, COUNT(*) AS count
            FROM (
                SELECT {day} AS day,
                    CASE WHEN LAG(id) OVER day_of_session IS NULL THEN properties ->> 'pageFrom' END AS entry_page,
                    CASE WHEN LEAD(id) OVER day_of_session IS NULL THEN properties ->> 'pageTo' END AS exit_page
                FROM logs_action WHERE time >= %s AND time < %s {owner} AND type = '{ActionType.NAVIGATE.value}'
                WINDOW day_of_session AS (PARTITION BY log_id, user_id, {day} ORDER BY time, id)
            ) AS navigations
            WHERE entry_page IS NOT NULL OR exit_page IS NOT NULL GROUP BY 1, 2, 3
        )
        {counted.format(kind=_ENTRY, page="entry_page")} UNION ALL {counted.format(kind=_EXIT, page="exit_page")}
        """,
        [*bounds_of(days), *user],
    )


def _begun_in(days: Days, user_id: str | None) -> tuple[str, list[Any]]:
    """Return SQL for which logs begin in some days, of one user or of everybody."""
    owner, user = owner_of(user_id)
    return f"WHERE first_time >= %s AND first_time < %s {owner}", [*bounds_of(days), *user]


def _buckets(bounds: Sequence[int], at_most: Sequence[int], total: int) -> list[Bucket]:
    """Return the buckets between some bounds; at_most: how many sessions are at most at each bound."""
    return [
        Bucket(above, up_to, to_here - before)
        for (above, up_to), (before, to_here) in zip(
            pairwise([None, *bounds, None]), pairwise([0, *at_most, total]), strict=True
        )
    ]


def _percentile(column: str, share: float) -> str:
    """Return SQL for the smallest value of a column of sessions that at least a share of all are at or below."""
    if connection.vendor == "postgresql":
        return f"percentile_disc({share}) WITHIN GROUP (ORDER BY {column})"
    return f"""(SELECT MIN({column}) FROM (
        SELECT {column}, CUME_DIST() OVER (ORDER BY {column}) AS share FROM sessions) WHERE share >= {share})"""


def _week_since(first: date) -> str:
    """Return SQL for how many weeks of seven days a `day` comes after a first one."""
    if connection.vendor == "postgresql":
        return f"(day - DATE '{first}') / 7"
    return f"CAST(julianday(day) - julianday('{first}') AS INTEGER) / 7"
