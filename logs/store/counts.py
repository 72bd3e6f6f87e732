"""What happened in a range of days (UTC), as typed rows: read from the rollups of the days that are over, and from the
actions themselves for the days that are not, and for a single user.

The days that are over must have been prepared: see logs.store.rollups.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from typing import Any, NamedTuple

from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper
from django.db.models import Max, Min

from logs.lib.database import day_of
from logs.lib.replicas import reading_connection
from logs.models import Action, ActionType, Log, RollupKind
from logs.store.click_pages import LOOK_BACK, clicks_by_page_and_cell
from logs.store.days import Days
from logs.store.rows import ActivityRow, CellRow, ClickPages, Clicks, FlowRow, NameRow


def activity(days: Days, types: Sequence[str], user_id: str | None = None) -> list[ActivityRow]:
    """Count the actions of each hour and type; hours without any have no row.

    types: the types to count, at least one.
    user_id: count this user's actions alone.
    """
    rows = _counted(RollupKind.ACTIVITY, days, ["day", "x", "label"], user_id, Types("label", types))
    return [ActivityRow(as_date(day), hour, ActionType(name), int(count)) for day, hour, name, count in rows]


def totals(days: Days, types: Sequence[str], user_id: str | None = None) -> dict[ActionType, int]:
    """Count the actions of each type; a type without any is absent. The arguments are those of activity."""
    rows = _counted(RollupKind.ACTIVITY, days, ["label"], user_id, Types("label", types))
    return {ActionType(name): int(count) for name, count in rows}


def active_users(days: Days, types: Sequence[str]) -> int:
    """Count the users with an action of one of the types."""
    rows, parameters = rows_of(RollupKind.USERS, days, None)
    where, names = Types("other", types).where()
    with quick_plans() as cursor:
        cursor.execute(f"SELECT COUNT(DISTINCT label) FROM ({rows}) AS counts {where}", [*parameters, *names])
        return int(cursor.fetchone()[0])


def flows(days: Days, user_id: str | None, limit: int) -> list[FlowRow]:
    """Return the paths from page to page that were taken most often, most first.

    user_id: of this user alone; None is everybody.
    limit: at most so many rows.
    """
    rows = _counted(RollupKind.FLOW, days, ["label", "other"], user_id, limit=limit)
    return [FlowRow(page_from, page_to, int(count)) for page_from, page_to, count in rows]


def top_views(days: Days, user_id: str | None, limit: int) -> list[NameRow]:
    """Return the IDs that were viewed most often, most first. The arguments are those of flows."""
    rows = _counted(RollupKind.VIEWS, days, ["label"], user_id, limit=limit)
    return [NameRow(name, int(count)) for name, count in rows]


def top_users(days: Days, types: Sequence[str], user_id: str | None, limit: int) -> list[NameRow]:
    """Return the users with the most actions of some types, most first; arguments as of activity and flows."""
    rows = _counted(RollupKind.USERS, days, ["label"], user_id, Types("other", types), limit)
    return [NameRow(name, int(count)) for name, count in rows]


def clicks(days: Days, user_id: str | None, page: str | ClickPages, max_pages: int, max_cells: int) -> Clicks:
    """Return the pages and the squares with the most clicks.

    In one statement: to infer the pages of an open day's clicks takes longer than all the rest.

    user_id: of this user alone; None is everybody.
    page: whose squares.
    """
    rows, parameters = rows_of(RollupKind.CLICKS, days, user_id)
    where, chosen = "", list[str]()
    if page is ClickPages.MOST_CLICKED:
        # A page that is known comes before what has none.
        where = "WHERE label = (SELECT label FROM counts GROUP BY 1 ORDER BY label = '', SUM(count) DESC, 1 LIMIT 1)"
    elif isinstance(page, str):
        where, chosen = "WHERE label = %s", [page]
    with quick_plans() as cursor:
        cursor.execute(
            f"""
            WITH counts AS MATERIALIZED (
                SELECT label, x, y, SUM(count) AS count FROM ({rows}) AS every GROUP BY 1, 2, 3
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
            [*parameters, *chosen],
        )
        found = cursor.fetchall()
    pages = [NameRow(label, int(total)) for is_page, label, _, _, total in found if is_page]
    if page is ClickPages.MOST_CLICKED:
        # The first of those with a name: the pages are sorted by their clicks.
        page = next((row.name for row in pages if row.name), "")
    return Clicks(
        page=page,
        pages=pages,
        cells=[CellRow(x, y, int(total)) for is_page, _, x, y, total in found if not is_page],
    )


def time_span(user_id: str | None) -> tuple[date, date] | None:
    """Return the first and the last day (UTC) with an action, of one user or of everybody; None without any."""
    if user_id is None:
        span = Action.objects.aggregate(first=Min("time"), last=Max("time"))
    else:
        span = Log.objects.filter(user_id=user_id).aggregate(first=Min("first_time"), last=Max("last_time"))
    if span["first"] is None:
        return None
    return span["first"].astimezone(UTC).date(), span["last"].astimezone(UTC).date()


def write_rollups(day: date) -> None:
    """Count the actions of a day and store that as its rollups, of which there must be none yet."""
    with quick_plans() as cursor:
        for kind in RollupKind:
            sql, parameters = _select(kind, Days(day, day), None)
            cursor.execute(
                "INSERT INTO logs_rollup (day, kind, label, other, x, y, count)"
                f" SELECT day, %s, label, other, x, y, count FROM ({sql}) AS counted",
                [kind.value, *parameters],
            )


class Types(NamedTuple):
    """The types to count, and the column of the rows that holds them."""

    column: str
    names: Sequence[str]

    def where(self) -> tuple[str, list[str]]:
        return f"WHERE {self.column} IN ({', '.join(['%s'] * len(self.names))})", list(self.names)


def _counted(
    kind: RollupKind,
    days: Days,
    columns: Sequence[str],
    user_id: str | None,
    types: Types | None = None,
    limit: int | None = None,
) -> list[tuple[Any, ...]]:
    """Return each combination of some columns with its count; with a limit the highest counts, highest first."""
    rows, parameters = rows_of(kind, days, user_id)
    where, names = types.where() if types else ("", [])
    group = ", ".join(columns)
    ending = "" if limit is None else f"ORDER BY total DESC, {group} LIMIT {limit:d}"
    with quick_plans() as cursor:
        cursor.execute(
            f"SELECT {group}, SUM(count) AS total FROM ({rows}) AS counts {where} GROUP BY {group} {ending}",
            [*parameters, *names],
        )
        found: list[tuple[Any, ...]] = cursor.fetchall()
        return found


@contextmanager
def quick_plans() -> Iterator[CursorWrapper]:
    """Yield a cursor for whose queries PostgreSQL does not compile longer than they run."""
    connection = reading_connection()
    if connection.vendor != "postgresql":
        with connection.cursor() as cursor:
            yield cursor
        return
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        cursor.execute("SET LOCAL jit = off")
        cursor.execute("SET LOCAL work_mem = '64MB'")
        yield cursor


def as_date(value: date | str) -> date:
    # SQLite has no dates.
    return date.fromisoformat(value) if isinstance(value, str) else value


def rows_of(kind: RollupKind, days: Days, user_id: str | None) -> tuple[str, list[Any]]:
    """Return SQL for the rollups of the days that are over and the counts of the rest; for one user only for counts."""
    if user_id is not None:
        return _select(kind, days, user_id)
    over, rest = days.split()
    rolled_up = "SELECT day, label, other, x, y, count FROM logs_rollup WHERE kind = %s AND day BETWEEN %s AND %s"
    parameters: list[Any] = [kind.value, over.first, over.last]
    if not len(rest):
        return rolled_up, parameters
    counted, more = _select(kind, rest, None)
    return f"{rolled_up} UNION ALL SELECT * FROM ({counted}) AS counted", parameters + more


def _select(kind: RollupKind, days: Days, user_id: str | None) -> tuple[str, list[Any]]:
    """Return SQL that counts the actions of some days, of one user or of everybody, as the rollups of a kind."""
    start, end = days.bounds
    look_back = start - min(LOOK_BACK, start - datetime.min.replace(tzinfo=UTC))
    adapt = connection.ops.adapt_datetimefield_value
    fragments = _POSTGRESQL if connection.vendor == "postgresql" else _SQLITE
    owner, user = owner_of(user_id)
    if kind is RollupKind.CLICKS:
        return clicks_by_page_and_cell(owner), [adapt(look_back), adapt(end), *user, adapt(start)]
    return _SELECTS[kind].format(**fragments, day=day_of("time"), owner=owner), [*bounds_of(days), *user]


def owner_of(user_id: str | None) -> tuple[str, list[str]]:
    """Return SQL, and its parameters, for the rows of one user; None is everybody."""
    return ("", []) if user_id is None else ("AND user_id = %s", [user_id])


def bounds_of(days: Days) -> tuple[Any, Any]:
    """Return the first instant of some days, and the first one after them, as parameters."""
    start, end = days.bounds
    adapt = connection.ops.adapt_datetimefield_value
    return adapt(start), adapt(end)


# What the two databases spell differently; SQLite keeps a time as text in UTC.
_POSTGRESQL = {
    "hour": "extract(hour FROM time AT TIME ZONE 'UTC')::bigint",
    "zero": "0::bigint",
    "none": "''::text",
}
_SQLITE = {
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
