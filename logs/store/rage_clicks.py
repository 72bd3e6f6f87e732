"""Rage clicks: three clicks or more of a session at nearly one place within a second, as on a button that does nothing.

Three clicks one after the other, in the order of time and id, are a triple if the last comes at most a second after the
first, and no two of them are more than 30 pixels apart, across or down. Triples that share a click are one burst.

A location counts as a double if it is written in 40 characters at most, with an exponent of two digits at most: so are
all that a browser sends. Any other, such as 1e400, is of no triple.
"""

from __future__ import annotations

from itertools import combinations
from typing import NamedTuple

from django.db import connection

from logs.lib.database import microseconds_between
from logs.models import Action, ActionType
from logs.store.click_pages import ClickPage
from logs.store.counts import bounds_of, owner_of, quick_plans
from logs.store.days import Days

_MICROSECONDS = 1_000_000
_PIXELS = 30
_CHARACTERS = 40


class RageClickRow(NamedTuple):
    """How many bursts a page had, of how many clicks, in how many sessions.

    page: where the first click of each burst was; "" where that is not known.
    """

    page: str
    bursts: int
    clicks: int
    sessions: int


def rage_clicks(days: Days, user_id: str | None, limit: int) -> list[RageClickRow]:
    """Return the pages with the most bursts, most first.

    days: only clicks of these days count.
    user_id: of this user alone; None is everybody.
    limit: at most so many rows.
    """
    owner, user = owner_of(user_id)
    pages, _ = Action.objects.values("user_id", "log_id", "id", page=ClickPage()).query.sql_with_params()
    with quick_plans() as cursor:
        # Of each triple there is the row of its third click. Where that is the third after the one of the triple before
        # or later, the two share no click. By the number of the log first: see logs.store.funnels.
        cursor.execute(
            f"""
            WITH clicks AS (
                SELECT user_id, log_id, time, properties AS third, LAG(properties) OVER session AS second,
                    LAG(properties, 2) OVER session AS first, LAG(time, 2) OVER session AS first_time,
                    LAG(id, 2) OVER session AS first_id, ROW_NUMBER() OVER session AS number
                FROM logs_action
                WHERE time >= %s AND time < %s {owner} AND type = '{ActionType.CLICK.value}'
                WINDOW session AS (PARTITION BY log_id, user_id ORDER BY time, id)
            ), triples AS (
                SELECT user_id, log_id, first_id, number,
                    CASE WHEN number < 3 + LAG(number) OVER (PARTITION BY log_id, user_id ORDER BY number)
                        THEN 0 ELSE 1 END AS begins
                FROM clicks
                WHERE {microseconds_between("first_time", "time")} <= {_MICROSECONDS} AND {_are_near()}
            ), bursts AS (
                SELECT user_id, log_id, MAX(CASE WHEN begins = 1 THEN first_id END) AS first_id,
                    MAX(number) - MIN(number) + 3 AS clicks
                FROM (
                    SELECT *, SUM(begins) OVER (PARTITION BY log_id, user_id ORDER BY number) AS burst FROM triples
                ) AS numbered
                GROUP BY log_id, user_id, burst
            ), sessions AS (
                SELECT page, COUNT(*) AS bursts, SUM(clicks) AS clicks
                FROM bursts JOIN ({pages}) AS places ON places.user_id = bursts.user_id
                    AND places.log_id = bursts.log_id AND places.id = bursts.first_id
                GROUP BY page, bursts.user_id, bursts.log_id
            )
            SELECT page, SUM(bursts) AS total, SUM(clicks), COUNT(*) FROM sessions
            GROUP BY page ORDER BY total DESC, page LIMIT {limit:d}
            """,
            [*bounds_of(days), *user],
        )
        return [
            RageClickRow(page, int(bursts), int(clicks), count) for page, bursts, clicks, count in cursor.fetchall()
        ]


def _are_near() -> str:
    """Return SQL for whether the clicks of a triple are near each other; NULL where a location doesn't count."""
    return " AND ".join(
        f"abs({_location(one, member)} - {_location(other, member)}) <= {_PIXELS}"
        for member in ("locationX", "locationY")
        for one, other in combinations(("first", "second", "third"), 2)
    )


def _location(properties: str, member: str) -> str:
    """Return SQL for a location as a double; NULL for one that doesn't count."""
    if connection.vendor == "postgresql":
        text = f"({properties} ->> '{member}')"
        return f"CASE WHEN length({text}) <= {_CHARACTERS} AND {text} !~ '[eE][+-]?[0-9]{{3}}' THEN {text}::float8 END"
    # As it is written: ->> would give a number.
    text = f"({properties} -> '{member}')"
    is_short = f"length({text}) <= {_CHARACTERS} AND {text} NOT GLOB '*[eE]*[0-9][0-9][0-9]'"
    return f"CASE WHEN {is_short} THEN CAST({text} AS REAL) END"
