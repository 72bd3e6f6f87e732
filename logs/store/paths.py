"""From which pages users come, and to which they go: through several pages, and right before and after one."""

from __future__ import annotations

from typing import Any, NamedTuple

from logs.models import ActionType, RollupKind
from logs.store.counts import bounds_of, owner_of, quick_plans, rows_of
from logs.store.days import Days
from logs.store.rows import NameRow


class PathRow(NamedTuple):
    """How often users took a path.

    pages: the chosen page, then those after it, or before it, nearest first.
    """

    pages: tuple[str, ...]
    total: int


class PageRow(NamedTuple):
    """How often users came to a page and went from it, and the pages they came from and went to most often."""

    came: int
    came_from: list[NameRow]
    went: int
    went_to: list[NameRow]


def paths(days: Days, page: str, user_id: str | None, steps: int, forward: bool, limit: int) -> list[PathRow]:
    """Return the paths from, or to, a page that were taken most often, most first.

    A path forward begins with each NAVIGATE that leads to the page, and has the pages that the session's next ones
    lead to. A path back ends with each NAVIGATE that leaves the page, and has the pages that those before left.

    days: only navigations of these days count.
    user_id: of this user alone; None is everybody.
    steps: how many pages a path has, 3 to 5, the chosen one included; fewer where its session ends, or begins.
    limit: at most so many rows.
    """
    member, function = ("pageTo", "LEAD") if forward else ("pageFrom", "LAG")
    owner, user = owner_of(user_id)
    columns = [f"page_{number:d}" for number in range(1, steps + 1)]
    others = ", ".join(
        f"{function}(page_1, {away:d}) OVER session AS {name}" for away, name in enumerate(columns[1:], 1)
    )
    with quick_plans() as cursor:
        # By the number of the log first: see logs.store.funnels.
        cursor.execute(
            f"""
            SELECT {", ".join(columns)}, COUNT(*) AS total
            FROM (
                SELECT page_1, {others}
                FROM (
                    SELECT user_id, log_id, time, id, properties ->> '{member}' AS page_1
                    FROM logs_action
                    WHERE time >= %s AND time < %s {owner} AND type = '{ActionType.NAVIGATE.value}'
                ) AS navigations
                WINDOW session AS (PARTITION BY log_id, user_id ORDER BY time, id)
            ) AS paths
            WHERE page_1 = %s
            GROUP BY {", ".join(columns)}
            ORDER BY total DESC, {", ".join(f"{name} NULLS FIRST" for name in columns)} LIMIT {limit:d}
            """,
            [*bounds_of(days), *user, page],
        )
        found = cursor.fetchall()
    return [PathRow(tuple(name for name in names if name is not None), total) for *names, total in found]


def one_page(days: Days, page: str, user_id: str | None, limit: int = 10) -> PageRow:
    """Return how users came to a page and went from it.

    The days that are over must have been prepared: see logs.store.rollups.

    user_id: of this user alone; None is everybody.
    limit: at most so many pages each way.
    """
    rows, parameters = rows_of(RollupKind.FLOW, days, user_id)
    came, came_from = _top("label", "other", page, rows, parameters, limit)
    went, went_to = _top("other", "label", page, rows, parameters, limit)
    return PageRow(came, came_from, went, went_to)


def _top(
    column: str, page_column: str, page: str, rows: str, parameters: list[Any], limit: int
) -> tuple[int, list[NameRow]]:
    """Return the sum of the rows of a page, and the highest counts of another column of theirs, highest first."""
    with quick_plans() as cursor:
        cursor.execute(
            f"""
            SELECT {column}, SUM(count) AS total, SUM(SUM(count)) OVER () AS every
            FROM ({rows}) AS counts WHERE {page_column} = %s
            GROUP BY {column} ORDER BY total DESC, {column} LIMIT {limit:d}
            """,
            [*parameters, page],
        )
        found = cursor.fetchall()
    return int(found[0][2]) if found else 0, [NameRow(name, int(total)) for name, total, _ in found]
