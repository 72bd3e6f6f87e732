"""Print statistics of what is stored."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import CommandParser
from django.template.defaultfilters import filesizeformat

from logs.lib import times
from logs.lib.text import count_of
from logs.management.base import MaintenanceCommand, count_argument
from logs.store.distribution import Node
from logs.store.statistics import Metric, Statistics, collect

_HELP = """\
Print what is stored: totals, actions by type, actions by day (UTC), the busiest users, the size on disk, and the
times of the first and last action.

A day without actions is not listed, so that one action with a time in the far future hides no other day. On PostgreSQL
it answers in a second or so however much there is: past a million logs, or a million actions in the days listed, counts
are estimates marked with "about".
"""
_EXAMPLES = """\
  python manage.py logstats
  python manage.py logstats --json | jq .actions.count
"""


class Command(MaintenanceCommand):
    help = _HELP
    examples = _EXAMPLES

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="write one JSON object, for machines")
        parser.add_argument(
            "--days",
            metavar="N",
            type=count_argument,
            default=14,
            help="how many days to list: the last ones that have actions (default: 14)",
        )
        parser.add_argument(
            "--top", metavar="N", type=count_argument, default=10, help="how many users to list (default: 10)"
        )

    def handle(self, *, days: int, top: int, **options: Any) -> None:
        statistics = collect(days, top)
        self.stdout.write(_as_json(statistics) if options["json"] else _as_text(statistics))


def _as_json(statistics: Statistics) -> str:
    return json.dumps(
        {
            "logs": _metric(statistics.logs),
            "users": _metric(statistics.users),
            "actions": _metric(statistics.actions),
            "byType": {name: _metric(metric) for name, metric in statistics.by_type.items()},
            "byDay": {day.isoformat(): _metric(metric) for day, metric in statistics.by_day.items()},
            "busiestUsers": [{"userId": user, **_metric(metric)} for user, metric in statistics.busiest_users.items()],
            "firstTime": statistics.first_time and times.format_time(statistics.first_time),
            "lastTime": statistics.last_time and times.format_time(statistics.last_time),
            "bytesOnDisk": statistics.size,
            **({"workers": list(map(_worker, statistics.workers))} if statistics.workers else {}),
        },
        ensure_ascii=False,
    )


def _metric(metric: Metric) -> dict[str, int | bool]:
    return {"count": metric.value, "estimated": metric.is_estimate}


def _worker(worker: Node) -> dict[str, str | int | bool]:
    return {"name": worker.name, "isAway": worker.is_away, "shards": worker.shards, "bytesOnDisk": worker.size}


def _as_text(statistics: Statistics) -> str:
    rows = [
        ("Logs", statistics.logs),
        ("Users", statistics.users),
        ("Actions", statistics.actions),
        *((f"  {name}", metric) for name, metric in statistics.by_type.items()),
        ("Size on disk", filesizeformat(statistics.size).replace("\xa0", " ")),
    ]
    for worker in statistics.workers:
        state = "away" if worker.is_away else filesizeformat(worker.size).replace("\xa0", " ")
        rows.append((f"Worker {worker.name}", f"{state}, {count_of(worker.shards, 'shard')}"))
    if statistics.first_time and statistics.last_time:
        rows += [
            ("First action", times.format_time(statistics.first_time)),
            ("Last action", times.format_time(statistics.last_time)),
            ("", ""),
            ("Day (UTC)", "Actions"),
            *((f"  {day}", metric) for day, metric in statistics.by_day.items()),
            ("", ""),
            ("Busiest users", "Actions"),
            *((f"  {user}", metric) for user, metric in statistics.busiest_users.items()),
        ]
    width = max(len(label) for label, _ in rows)
    return "\n".join(f"{label:<{width}}  {value}".rstrip() for label, value in rows)
