"""How many sessions, or users, do some steps one after the other, and which of them stop on the way.

Of a session, or of a user over all sessions, the earliest action that matches the first step begins. Each further step
is reached by the earliest matching action after the one that reached the step before, in the order of time and id. So
no action serves two steps, and two equal steps are two actions.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from django.db import models

from logs.lib.database import microseconds_between
from logs.models import ActionType
from logs.store.counts import bounds_of, owner_of, quick_plans
from logs.store.days import Days

_MICROSECOND = timedelta(microseconds=1)


class StepKind(models.TextChoices):
    """What a step names; the values are those of ActionType."""

    PAGE = ActionType.NAVIGATE.value, "Page that a navigation leads to"
    VIEW = ActionType.VIEW.value, "ID that is viewed"


class Step(NamedTuple):
    """A step of a funnel: to come to the page, or to view the ID, of this name."""

    kind: StepKind
    name: str


class StepRow(NamedTuple):
    """How many reached a step, and how long they took from the step before.

    median_seconds: half took so long or less; None for the first step, and for one that nobody reached.
    """

    reached: int
    median_seconds: float | None


def funnel(days: Days, steps: Sequence[Step], user_id: str | None, within: timedelta | None) -> list[StepRow]:
    """Return a row for each step, in their order.

    days: only actions of these days count.
    steps: 2 to 8.
    user_id: of this user alone; None is everybody.
    within: count users, whose steps all come less than so long (above 0) after the first; None counts sessions.
    """
    tables, parameters = _reached(days, steps, user_id, within)
    numbers = range(1, len(steps) + 1)
    step = " ".join(f"WHEN reached_{number} THEN {number}" for number in numbers)
    # Between the actions that reached steps there is no other one here.
    before = f"LAG(time) OVER (PARTITION BY {_partition(within)} ORDER BY number)"
    with quick_plans() as cursor:
        cursor.execute(
            f"""
            {tables}
            SELECT step, COUNT(*), MAX(CASE WHEN place = (total + 1) / 2 THEN taken END)
            FROM (
                SELECT step, taken, ROW_NUMBER() OVER (PARTITION BY step ORDER BY taken) AS place,
                    COUNT(*) OVER (PARTITION BY step) AS total
                FROM (
                    SELECT CASE number {step} END AS step, {microseconds_between(before, "time")} AS taken
                    FROM step_{len(steps)} WHERE CASE number {step} END IS NOT NULL
                ) AS reaching
            ) AS placed
            GROUP BY step
            """,
            parameters,
        )
        found = {step: (reached, taken) for step, reached, taken in cursor.fetchall()}
    rows = (found.get(number, (0, None)) for number in numbers)
    return [StepRow(reached, None if taken is None else taken / 1_000_000) for reached, taken in rows]


def dropped(
    days: Days, steps: Sequence[Step], user_id: str | None, within: timedelta | None, step: int, limit: int
) -> list[int] | list[str]:
    """Return the ids of the logs, or of the users, that reached a step and not the next, who reached it last first.

    step: from 1 for the first to that before the last.
    limit: at most so many ids.
    The other arguments are those of funnel: with `within` None it returns log ids, otherwise user ids.
    """
    tables, parameters = _reached(days, steps[: step + 1], user_id, within)
    with quick_plans() as cursor:
        cursor.execute(
            f"""
            {tables}
            SELECT {"log_id" if within is None else "user_id"} FROM step_{step + 1:d}
            WHERE number = reached_{step:d} AND reached_{step + 1:d} IS NULL
            ORDER BY time DESC, id DESC LIMIT {limit:d}
            """,
            parameters,
        )
        return [found for (found,) in cursor.fetchall()]


def _partition(within: timedelta | None) -> str:
    # The number first: PostgreSQL sorts by it a third faster than by the text.
    return "log_id, user_id" if within is None else "user_id"


def _reached(days: Days, steps: Sequence[Step], user_id: str | None, within: timedelta | None) -> tuple[str, list[Any]]:
    """Return SQL for tables of the actions that match a step, numbered in their order, and the parameters.

    The last table, `step_2` for two steps, says in `reached_1` and so on which number reached each step.
    """
    partition = _partition(within)
    owner, user = owner_of(user_id)
    name = "CASE type WHEN 'NAVIGATE' THEN properties ->> 'pageTo' WHEN 'VIEW' THEN properties ->> 'viewedId' END"
    tables = f"""
        WITH step_0 AS (
            SELECT user_id, log_id, time, id, type, {name} AS name,
                ROW_NUMBER() OVER (PARTITION BY {partition} ORDER BY time, id) AS number
            FROM logs_action
            WHERE time >= %s AND time < %s {owner} AND {name} IN ({", ".join(["%s"] * len(steps))})
        ), step_1 AS (
            SELECT *, {_first("number")} OVER whole AS reached_1, {_first("time")} OVER whole AS started
            FROM step_0 WINDOW whole AS (PARTITION BY {partition})
        )"""
    first, *others = steps
    parameters: list[Any] = [*bounds_of(days), *user]
    parameters += [*(step.name for step in steps), *first, *first]
    for number, step in enumerate(others, 2):
        tables += f""", step_{number} AS (
            SELECT *, {_first("number", f"AND number > reached_{number - 1}")}
                OVER (PARTITION BY {partition}) AS reached_{number}
            FROM step_{number - 1}"""
        parameters += step
        if number == 2:
            # What is too early or too late for every step is left out once.
            tables += " WHERE number >= reached_1"
            if within is not None:
                tables += f" AND {microseconds_between('started', 'time')} < %s"
                parameters.append(within // _MICROSECOND)
        tables += ")"
    return tables, parameters


def _first(column: str, condition: str = "") -> str:
    """Return SQL for the least value of a column among the actions that match a step; its parameters are the step."""
    return f"MIN(CASE WHEN type = %s AND name = %s {condition} THEN {column} END)"
