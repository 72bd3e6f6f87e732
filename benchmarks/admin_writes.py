"""What the admin and Insights cost a write: batches with and without their indexes and marks, in one run.

Usage, with DATABASE_URL naming an empty PostgreSQL database that may be filled:

    python -m benchmarks.admin_writes

Prints milliseconds a batch (median) and the ratio to a store without the admin's indexes.
"""

from __future__ import annotations

import os
import statistics
import time
from datetime import UTC, datetime, timedelta

import django
from django.core.management import call_command
from django.db import connection, models

LOGS_A_BATCH, ACTIONS_A_LOG, BATCHES = 200, 5, 60


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "logstore_project.settings")
    django.setup()
    call_command("migrate", verbosity=0)
    from logs.models import Log

    of_admin = list(Log._meta.indexes)
    on_last_time = [models.Index(fields=["last_time", "id"], name="log_by_last_time")]
    schemas = {
        "without the admin's indexes": [],
        "with them": of_admin,
        "with one on last_time besides": of_admin + on_last_time,
    }
    _change(of_admin, add=False)
    results: dict[str, list[list[float]]] = {}
    # In turns, so that what else the machine does falls on all alike.
    for turn in range(3):
        for name, indexes in schemas.items():
            _change(indexes, add=True)
            results.setdefault(name, []).append(_measure(f"{turn}-{len(indexes)}"))
            _change(indexes, add=False)
    _change(of_admin, add=True)
    base = [statistics.median(column) for column in zip(*results["without the admin's indexes"], strict=True)]
    print(f"{'ms a batch of 200 logs, 1,000 actions':<40}{'new logs':>16}{'appends':>16}{'appends of past days':>24}")
    for name, turns in results.items():
        medians = [statistics.median(column) for column in zip(*turns, strict=True)]
        cells = [f"{now:.1f} (x{now / before:.2f})" for now, before in zip(medians, base, strict=True)]
        print(f"{name:<40}{cells[0]:>16}{cells[1]:>16}{cells[2]:>24}")


def _measure(name: str) -> list[float]:
    now = datetime.now(UTC)
    first = _batches(name, now)
    appends = _batches(name, now + timedelta(seconds=60))
    past = _batches(name, now - timedelta(days=30))
    return [statistics.median(first), statistics.median(appends), statistics.median(past)]


def _batches(name: str, start: datetime) -> list[float]:
    from logs.store.append import append
    from logs.store.rows import ActionRow, LogRow

    times = []
    for batch in range(BATCHES):
        rows: list[LogRow] = [
            {
                "user_id": f"user-{name}-{log % 50}",
                "session_id": f"session-{name}-{batch}-{log}",
                "actions": [
                    ActionRow(start + timedelta(seconds=log + step), "VIEW", '{"viewedId":"shoe"}')
                    for step in range(ACTIONS_A_LOG)
                ],
            }
            for log in range(LOGS_A_BATCH)
        ]
        began = time.perf_counter()
        append(rows)
        times.append(1000 * (time.perf_counter() - began))
    return times


def _change(indexes: list[models.Index], add: bool) -> None:
    from logs.models import Log

    with connection.schema_editor() as editor:
        for index in indexes:
            (editor.add_index if add else editor.remove_index)(Log, index)


if __name__ == "__main__":
    main()
