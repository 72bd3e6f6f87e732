"""Where a click was: its square of the page, and the page itself, which a click doesn't record.

The page of a click is inferred from the navigations of its session: where the last NAVIGATE before it went, looked for
from LOOK_BACK before the click's day (UTC) on; else what the next NAVIGATE of that day left; else it is not known, "".
So the page of a click never depends on a later day, nor on the range of days that is asked for.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db import connection
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import BigIntegerField, F, Func, TextField
from django.db.models.sql.compiler import SQLCompiler

from logs.lib.database import day_of

# Clicks are counted in squares of so many pixels.
CELL_SIZE = 20
# How long before midnight a session's NAVIGATE is looked for, to infer the page of its first clicks of the day.
LOOK_BACK = timedelta(hours=6)

_HOURS = LOOK_BACK // timedelta(hours=1)


class ClickCell(Func):
    """The square that a click is in, across or down; NULL for what is no click.

    member: `locationX` for across, `locationY` for down.
    """

    output_field = BigIntegerField()

    def __init__(self, member: str) -> None:
        super().__init__(F("type"), F("properties"))
        self.member = member

    def as_sql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, *_: Any, **__: Any) -> tuple[str, Any]:
        action_type, properties = _columns(self, compiler)
        return _cell(action_type, properties, self.member), ()


class ClickPage(Func):
    """The page that a click was on, as far as it can be inferred; NULL for what is no click."""

    output_field = TextField()

    def __init__(self) -> None:
        super().__init__(*map(F, ("user_id", "log_id", "time", "id", "type")))

    def as_sql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, *_: Any, **__: Any) -> tuple[str, Any]:
        user_id, log_id, time, row_id, action_type = _columns(self, compiler)
        navigation = (
            f"FROM logs_action nav WHERE nav.user_id = {user_id} AND nav.log_id = {log_id} AND nav.type = 'NAVIGATE'"
        )
        return (
            f"""(CASE WHEN {action_type} = 'CLICK' THEN COALESCE(
            (SELECT nav.properties ->> 'pageTo' {navigation} AND nav.time >= {_look_back(time)} AND nav.time <= {time}
                AND (nav.time < {time} OR nav.id < {row_id}) ORDER BY nav.time DESC, nav.id DESC LIMIT 1),
            (SELECT nav.properties ->> 'pageFrom' {navigation} AND nav.time < {_next_day(time)} AND nav.time >= {time}
                AND (nav.time > {time} OR nav.id > {row_id}) ORDER BY nav.time, nav.id LIMIT 1),
            '') END)""",
            (),
        )


def clicks_by_page_and_cell(condition: str) -> str:
    """Return SQL that counts clicks as the rollups of CLICKS do: day, label (the page), other, x, y, count.

    Its parameters: where to begin to look for navigations, the end, those of the condition, where the days begin.

    condition: SQL for which actions, such as `AND user_id = %s`.
    """
    none = "''::text" if connection.vendor == "postgresql" else "''"
    x, y = (_cell("type", "properties", member) for member in ("locationX", "locationY"))
    # Of each group that `visit` numbers the first is the NAVIGATE that led to its clicks; by `next_visit` each click is
    # in the group of the NAVIGATE that comes next.
    return f"""
        SELECT {day_of("time")} AS day, page AS label, {none} AS other, {x} AS x, {y} AS y, COUNT(*) AS count
        FROM (
            SELECT time, type, properties, COALESCE(
                CASE WHEN MAX(navigated) OVER arrival >= {_look_back("time")} THEN MAX(page_to) OVER arrival END,
                CASE WHEN MIN(navigated) OVER departure < {_next_day("time")} THEN MAX(page_from) OVER departure END,
                '') AS page
            FROM (
                SELECT log_id, time, type, properties,
                    CASE WHEN type = 'NAVIGATE' THEN time END AS navigated,
                    CASE WHEN type = 'NAVIGATE' THEN properties ->> 'pageTo' END AS page_to,
                    CASE WHEN type = 'NAVIGATE' THEN properties ->> 'pageFrom' END AS page_from,
                    COUNT(CASE WHEN type = 'NAVIGATE' THEN 1 END) OVER session AS visit,
                    COUNT(CASE WHEN type = 'NAVIGATE' THEN 1 END) OVER session
                        + CASE WHEN type = 'CLICK' THEN 1 ELSE 0 END AS next_visit
                FROM logs_action WHERE time >= %s AND time < %s {condition} AND type <> 'VIEW'
                WINDOW session AS (PARTITION BY log_id ORDER BY time, id)
            ) AS visits
            WINDOW arrival AS (PARTITION BY log_id, visit), departure AS (PARTITION BY log_id, next_visit)
        ) AS clicks
        WHERE type = 'CLICK' AND time >= %s
        GROUP BY 1, 2, 4, 5
    """


def _columns(function: Func, compiler: SQLCompiler) -> list[str]:
    return [compiler.compile(expression)[0] for expression in function.get_source_expressions()]


def _look_back(time: str) -> str:
    """Return SQL for the time from which on a NAVIGATE may tell the page of a click."""
    if connection.vendor == "postgresql":
        return f"({day_of(time)}::timestamp - interval '{_HOURS} hours') AT TIME ZONE 'UTC'"
    return f"datetime({day_of(time)}, '-{_HOURS} hours')"


def _next_day(time: str) -> str:
    """Return SQL for the midnight after a time; of the last day there is, its end on SQLite."""
    if connection.vendor == "postgresql":
        return f"({day_of(time)} + 1)::timestamp AT TIME ZONE 'UTC'"
    # A letter sorts after every digit of a time.
    return f"({day_of(time)} || 'T')"


def _cell(type_column: str, properties_column: str, member: str) -> str:
    """Return SQL for the square that a click's locationX or locationY is in; NULL for what is no click."""
    text = f"({properties_column} ->> '{member}')"
    if connection.vendor != "postgresql":
        return f"(CASE WHEN {type_column} = 'CLICK' THEN CAST(floor({text} / {CELL_SIZE}.0) AS INTEGER) END)"
    # Any number of JSON may stand there: a float8 can't hold 1e-400, nor a numeric 1e-20000.
    return f"""(CASE WHEN {type_column} <> 'CLICK' THEN NULL
        WHEN {text} !~ '[eE]' THEN floor(left({text}, 40)::float8 / {CELL_SIZE})
        WHEN {text} ~ '^[^eE]{{1,40}}[eE][+-]?[0-9]{{1,3}}$' THEN floor({text}::numeric / {CELL_SIZE})
        ELSE 0 END)::bigint"""
