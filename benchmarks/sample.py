"""Millions of plausible actions, made by PostgreSQL itself: the benchmarks' data.

    DATABASE_URL=postgres://… python -m benchmarks.sample ACTIONS DAYS [LONG_LOG_ACTIONS]

makes the tables in an empty database and fills them.
"""

from __future__ import annotations

import os
import sys

import django
from django.core.management import call_command
from django.db import connection

ACTIONS_A_LOG = 10
LONG_LOG = "session-long"
LONG_LOG_ACTIONS = 50_000


def fill(actions: int, days: int, long_log_actions: int = LONG_LOG_ACTIONS) -> None:
    """Fill an empty store: so many actions in logs of ten, over so many days until now, and one long log besides.

    Writes to the tables directly, because POST /logs/ would take hours: for benchmarks alone.
    """
    # Not before there are settings, where this is the program.
    from logs.models import Action

    indexes = list(Action._meta.indexes)
    with connection.schema_editor() as editor:
        for index in indexes:
            editor.remove_index(Action, index)
    with connection.cursor() as cursor:
        cursor.execute("SELECT setseed(0.5)")
        # No check of the foreign key row by row.
        cursor.execute("SET session_replication_role = replica")
        cursor.execute(_LOGS, {"logs": actions // ACTIONS_A_LOG, "users": max(1, actions // 100), "days": days})
        if long_log_actions:
            cursor.execute(_LONG_LOG, {"session": LONG_LOG, "actions": long_log_actions})
        cursor.execute(_ACTIONS)
        cursor.execute("SET session_replication_role = DEFAULT")
    with connection.schema_editor() as editor:
        for index in indexes:
            editor.add_index(Action, index)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")


_COLUMNS = "user_id, session_id, version, first_time, last_time, click_count, view_count, navigate_count"
# Ten actions within a quarter of an hour: four clicks, four views, two navigations. A few users are busy.
_LOGS = f"""
    INSERT INTO logs_log ({_COLUMNS})
    SELECT 'user-' || floor(power(random(), 3) * %(users)s), 'session-' || number, 1,
        start, start + interval '15 minutes', 4, 4, 2
    FROM (
        SELECT number, now() - interval '15 minutes' - %(days)s * interval '1 day' * (1 - number::float8 / %(logs)s)
            AS start
        FROM generate_series(1, %(logs)s) AS number
    ) AS sessions
"""
_LONG_LOG = f"""
    INSERT INTO logs_log ({_COLUMNS})
    VALUES ('user-long', %(session)s, 1, now() - interval '3 days', now() - interval '2 days',
        %(actions)s * 4 / 10, %(actions)s * 4 / 10, %(actions)s * 2 / 10)
"""
_ACTIONS = """
    INSERT INTO logs_action (user_id, log_id, time, type, properties)
    SELECT user_id, id, date_trunc('second', first_time + (last_time - first_time) * step / (size - 1)), type,
        -- Compact, as the store writes JSON.
        CASE type
            WHEN 'CLICK' THEN format('{"locationX":%s,"locationY":%s}',
                floor(960 + 480 * (random() + random() - random() - random())),
                floor(540 + 270 * (random() + random() - random() - random())))
            WHEN 'VIEW' THEN format('{"viewedId":"product-%s"}', floor(power(random(), 2) * 20000))
            ELSE format('{"pageFrom":"page-%s","pageTo":"page-%s"}',
                floor(power(random(), 2) * 25), floor(power(random(), 2) * 25))
        END::json
    FROM (
        SELECT user_id, id, first_time, last_time, step, size,
            (ARRAY['NAVIGATE', 'CLICK', 'VIEW', 'CLICK', 'VIEW', 'NAVIGATE', 'CLICK', 'VIEW', 'CLICK', 'VIEW'])
                [step % 10 + 1] AS type
        FROM (SELECT *, click_count + view_count + navigate_count AS size FROM logs_log) AS logs
        CROSS JOIN LATERAL generate_series(0, size - 1) AS step
    ) AS steps
"""


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "logstore_project.settings")
    django.setup()
    call_command("migrate", verbosity=0)
    fill(*map(int, sys.argv[1:]))
